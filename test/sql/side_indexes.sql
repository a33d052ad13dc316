-- What stands beside a table may have indexes of its owner's, and may be
-- rebuilt in the middle of a statement: index and table agree all the same.
CREATE EXTENSION IF NOT EXISTS ffstorage;
SET client_min_messages = warning;
CREATE TABLE side (id uuid PRIMARY KEY, n integer NOT NULL, name text COLLATE "C", tags integer[] NOT NULL DEFAULT '{1}');
SELECT ffs_manage('side', 'scd2', soft_delete => true);
INSERT INTO side SELECT md5(i::text)::uuid, i, repeat(md5(i::text), 10), ARRAY[i, i % 7] FROM generate_series(1, 3000) i;

-- Has every row its entry in every btree, in order?  An error where not; what was looked at.
CREATE EXTENSION amcheck;
CREATE VIEW checked AS
SELECT c.relname, bt_index_check(c.oid, true)::text AS error
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE i.indrelid IN ('side_history'::regclass, 'side_deleted'::regclass) AND a.amname = 'btree'
ORDER BY c.relname COLLATE "C";

-- much more than work_mem holds, and little
SET work_mem = '64kB';
UPDATE side SET n = n + 1;
RESET work_mem;
UPDATE side SET n = n + 1 WHERE n <= 4;
SELECT relname FROM checked;
SELECT count(*), count(DISTINCT (id, valid_from)) FROM side_history;

-- indexes of the owner's: expressions, predicates, other methods, INCLUDE, DESC, exclusion, deferrable
CREATE FUNCTION half(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2';
CREATE INDEX side_h_n ON side_history (n DESC NULLS FIRST, name) INCLUDE (version);
CREATE INDEX side_h_name ON side_history (name COLLATE "C" text_pattern_ops) WHERE n % 2 = 0;
CREATE INDEX side_h_hash ON side_history USING hash (n);
CREATE INDEX side_h_gin ON side_history USING gin (tags);
CREATE INDEX side_h_tid ON side_history USING brin (n) WITH (pages_per_range = 2);
UPDATE side SET n = n + 1;
UPDATE side SET n = n + 1 WHERE n < 6;
DELETE FROM side WHERE n % 100 = 7;
SELECT relname FROM checked;
SET enable_seqscan = off;
SELECT count(*) FROM side_history WHERE tags @> '{3}';
SELECT count(*) FROM side_history WHERE n = 7;
SELECT count(*) FROM side_history WHERE n BETWEEN 5 AND 6;
RESET enable_seqscan;
SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
SELECT count(*) FROM side_history WHERE tags @> '{3}';
SELECT count(*) FROM side_history WHERE n = 7;
SELECT count(*) FROM side_history WHERE n BETWEEN 5 AND 6;
RESET enable_indexscan; RESET enable_bitmapscan; RESET enable_indexonlyscan;

-- from here on the executor makes the entries
CREATE INDEX side_h_half ON side_history (half(n)) WHERE half(n) > 3;
ALTER TABLE side_history ADD CONSTRAINT side_h_deferred UNIQUE (id, valid_to) DEFERRABLE INITIALLY DEFERRED;
UPDATE side SET n = n + 1;
SELECT relname FROM checked;
DROP INDEX side_h_half;
ALTER TABLE side_history DROP CONSTRAINT side_h_deferred;
UPDATE side SET n = n + 1;
SELECT relname FROM checked;

-- rebuilt while entries wait: a trigger that does it in mid-statement
CREATE TABLE rebuilt (number integer GENERATED ALWAYS AS IDENTITY, what text);
INSERT INTO rebuilt (what) VALUES ('REINDEX TABLE side_history'), ('REINDEX INDEX side_history_pkey'),
    ('CLUSTER side_history USING side_history_pkey'), ('DROP INDEX side_h_n'),
    ('CREATE INDEX side_h_n ON side_history (n)'),
    ('ALTER TABLE side_history ALTER COLUMN n SET STATISTICS 10');
CREATE TABLE now_rebuilt AS SELECT what FROM rebuilt WHERE false;
CREATE FUNCTION rebuild() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.n % 1500 = 0 THEN
        EXECUTE coalesce((SELECT what FROM now_rebuilt), 'SELECT 1');
        DELETE FROM now_rebuilt;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_rebuild BEFORE UPDATE ON side FOR EACH ROW EXECUTE FUNCTION rebuild();
SELECT unnest(ARRAY[format('INSERT INTO now_rebuilt VALUES (%L)', what),
                    'UPDATE side SET n = n + 1', 'SELECT relname FROM checked'])
FROM rebuilt ORDER BY number
\gexec
SELECT count(*) = count(DISTINCT (id, valid_from)) AS once FROM side_history;

-- savepoints: what was rolled back leaves no entry behind
DROP TRIGGER a_rebuild ON side;
BEGIN;
UPDATE side SET n = n + 1;
SAVEPOINT s;
UPDATE side SET n = n + 1 WHERE n < 100;
DELETE FROM side WHERE n < 50;
ROLLBACK TO s;
SAVEPOINT t;
DELETE FROM side WHERE n < 20;
RELEASE t;
COMMIT;
SELECT relname FROM checked;

DROP VIEW checked;
DROP EXTENSION amcheck;
SELECT ffs_unmanage('side', keep_history => false);
DROP TABLE side, rebuilt, now_rebuilt;
DROP FUNCTION half, rebuild;
DROP EXTENSION ffstorage;
