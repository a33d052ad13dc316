-- Rows that move between partitions while users' triggers do other things in
-- the middle: updates, moves, inserts, deletions, and what is undone of them.
-- An unmanaged twin says what a client sees; the laws what must be kept.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
\getenv srcdir PG_ABS_SRCDIR
\set ECHO none
\set file :srcdir '/laws.sql'
\ir :file
\set ECHO all
CREATE TABLE inner_statement (event text, undone boolean, statement text);
CREATE TABLE differs (strategy text, event text, undone boolean, statement text, what text);
CREATE FUNCTION in_the_middle() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    s record;
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM set_config('search_path', TG_TABLE_SCHEMA || ', public', false);
        FOR s IN SELECT * FROM inner_statement WHERE event = TG_OP LOOP
            BEGIN
                EXECUTE s.statement;
                IF s.undone THEN
                    RAISE EXCEPTION 'undone' USING ERRCODE = 'P0099';
                END IF;
            EXCEPTION WHEN SQLSTATE 'P0099' THEN
                NULL;
            END;
        END LOOP;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION make(schema name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE SCHEMA %I', schema);
    PERFORM set_config('search_path', quote_ident(schema) || ', public', false);
    CREATE TABLE t (id integer, part integer, v integer, PRIMARY KEY (id, part)) PARTITION BY RANGE (part);
    CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (100);
    CREATE TABLE t_2 (part integer NOT NULL, v integer, id integer NOT NULL);
    ALTER TABLE t ATTACH PARTITION t_2 FOR VALUES FROM (100) TO (200);
    CREATE TRIGGER middle BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION in_the_middle();
END $$;

-- What runs on each table, a transaction each: all rows anew, and then the move.
CREATE VIEW steps AS
SELECT row_number() OVER (ORDER BY event, undone, n, step) AS number, event, undone, inner_text, outer_text
FROM unnest(ARRAY['UPDATE', 'DELETE', 'INSERT']) event, unnest(ARRAY[false, true]) undone,
     unnest(ARRAY['UPDATE t SET v = v + 1 WHERE id = 5',
                  'UPDATE t SET part = 150 WHERE id = 5',
                  'UPDATE t SET part = 150, v = 9 WHERE id IN (5, 7)',
                  'UPDATE t SET part = 20 WHERE id = 120',
                  'INSERT INTO t VALUES (200, 150, 1), (201, 20, 1) ON CONFLICT DO NOTHING',
                  'DELETE FROM t WHERE id = 7',
                  'DELETE FROM t WHERE id = 120',
                  'UPDATE t SET id = 300 WHERE id = 7']) WITH ORDINALITY AS i(inner_text, n),
     unnest(ARRAY['DELETE FROM t', 'INSERT INTO t VALUES (1, 1, 1), (5, 5, 1), (7, 7, 1), (120, 120, 1)',
                  'UPDATE t SET v = v + 1',
                  'UPDATE t SET part = 130, v = 3 WHERE id = 1', 'UPDATE t SET part = 131 WHERE id = 1',
                  'UPDATE t SET part = part - 100 WHERE id = 1']) WITH ORDINALITY AS o(outer_text, step);

SELECT make('twin');
SELECT make(s) FROM unnest(ARRAY['moves_scd2', 'moves_audit']) s;
SELECT ffs_manage('moves_scd2.t', 'scd2', soft_delete => true), ffs_manage('moves_audit.t', 'copy_on_change');

\set ECHO none
SELECT unnest(ARRAY['TRUNCATE public.inner_statement',
                    CASE WHEN outer_text LIKE 'UPDATE t SET part%' THEN
                        format('INSERT INTO public.inner_statement VALUES (%L, %L, %L)', event, undone, inner_text) END,
                    'SET search_path = twin, public', outer_text,
                    'SET search_path = moves_scd2, public', outer_text,
                    'SET search_path = moves_audit, public', outer_text,
                    format('INSERT INTO public.differs SELECT s, %L, %L, %L, %L FROM (SELECT ''moves_scd2'' s, id, part, v FROM moves_scd2.t UNION ALL SELECT ''moves_audit'', id, part, v FROM moves_audit.t) m FULL JOIN '
                           '(SELECT s, id, part, v FROM twin.t, unnest(ARRAY[''moves_scd2'', ''moves_audit'']) s) t USING (s, id, part) WHERE m.v IS DISTINCT FROM t.v',
                           event, undone, inner_text, outer_text),
                    CASE WHEN number % 6 = 0 THEN
                        format('INSERT INTO public.differs SELECT s, %L, %L, %L, laws(s::regclass) FROM unnest(ARRAY[''moves_scd2.t'', ''moves_audit.t'']) s', event, undone, inner_text) END])
FROM steps ORDER BY number \gexec
\set ECHO all
SELECT * FROM differs;
SELECT count(*) > 500 AS versions FROM moves_scd2.t_versions;
SELECT count(*) > 500 AS entries FROM moves_audit.t_audit;

SET search_path = public;
SELECT ffs_unmanage('moves_scd2.t', keep_history => false), ffs_unmanage('moves_audit.t', keep_history => false);
DROP SCHEMA twin, moves_scd2, moves_audit CASCADE;
DROP VIEW steps;
DROP TABLE inner_statement, differs;
DROP FUNCTION make, in_the_middle;
DROP EXTENSION ffstorage;
