/*
 * Batches in which rows stand in each other's way, give up what others want,
 * refer to each other and remove each other, against plain statements on a
 * twin, a row at a time, in the order of their keys.
 *
 *   psql -X -q -A -t -v seed=1 -v calls=1500 -f test/fuzz/turns.sql
 *
 * as a superuser.  Says what differs, and how many calls did.
 */
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
CREATE SCHEMA turns;
SET search_path = turns, public;

CREATE TABLE parents (p integer PRIMARY KEY);
INSERT INTO parents SELECT generate_series(1, 6);
/* what each table has: a key, unique columns, a partial unique index, ranges that must not overlap, a parent elsewhere */
CREATE TABLE tree (k integer PRIMARY KEY, u integer UNIQUE, v integer, w integer NOT NULL DEFAULT 0, r int4range, up integer, o integer,
    CHECK (w < 9), EXCLUDE USING gist (r WITH &&));
CREATE UNIQUE INDEX ON tree (v) WHERE w < 5;
CREATE TABLE tree_twin (LIKE tree INCLUDING ALL);
CREATE TABLE plain (LIKE tree INCLUDING ALL);
CREATE TABLE plain_twin (LIKE tree INCLUDING ALL);
CREATE TABLE lively (LIKE tree INCLUDING ALL);
CREATE TABLE lively_twin (LIKE tree INCLUDING ALL);
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY '{tree,tree_twin,plain,plain_twin,lively,lively_twin}'::text[] LOOP
        EXECUTE format('ALTER TABLE %I ADD FOREIGN KEY (o) REFERENCES parents', t);
    END LOOP;
END $$;
ALTER TABLE tree ADD FOREIGN KEY (up) REFERENCES tree;
ALTER TABLE tree_twin ADD FOREIGN KEY (up) REFERENCES tree_twin;
SELECT ffs_manage('tree', 'none', stamps => false), ffs_manage('plain', 'copy_on_change', stamps => false), ffs_manage('lively', 'none', stamps => false);

/* an update may remove another row */
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.w = 7 THEN
        EXECUTE format('DELETE FROM %I WHERE k = %s', TG_TABLE_NAME, NEW.v);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER meddle BEFORE UPDATE ON lively FOR EACH ROW EXECUTE FUNCTION meddle();
CREATE TRIGGER meddle BEFORE UPDATE ON lively_twin FOR EACH ROW EXECUTE FUNCTION meddle();

CREATE FUNCTION dice(n integer) RETURNS integer LANGUAGE sql VOLATILE AS $$SELECT floor(random() * n)::integer$$;

CREATE FUNCTION random_row(target text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    k integer := 1 + dice(9);
    lower integer := 2 * k + dice(4) - 4;
    j jsonb := jsonb_build_object('k', k);
BEGIN
    IF dice(4) > 0 THEN j := j || jsonb_build_object('u', nullif(dice(9), 0)); END IF;
    IF dice(4) > 0 THEN j := j || jsonb_build_object('v', nullif(dice(6), 0)); END IF;
    IF dice(3) > 0 THEN j := j || jsonb_build_object('w', CASE WHEN dice(8) > 0 THEN dice(8) WHEN dice(2) = 0 THEN 9 END); END IF;
    IF dice(2) > 0 THEN j := j || jsonb_build_object('r', int4range(lower, lower + 1 + dice(6))); END IF;
    IF dice(4) = 0 THEN j := j || jsonb_build_object('o', 1 + dice(7)); END IF;
    IF target = 'tree' AND dice(2) = 0 THEN
        /* a row before it, or none: two that need each other no plain statement takes */
        j := j || jsonb_build_object('up', CASE WHEN dice(10) = 0 THEN 99 ELSE nullif(dice(k), 0) END);
    END IF;
    RETURN j;
END $$;

CREATE FUNCTION check_call(target text, twin text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    on_conflict text := (ARRAY['error', 'skip', 'update', 'update'])[1 + dice(4)];
    size integer := (ARRAY[1, 3, 1000])[1 + dice(3)];
    input jsonb := (SELECT jsonb_agg(random_row(target)) FROM generate_series(1, 2 + dice(8)));
    want text[] := array_fill(NULL::text, ARRAY[jsonb_array_length(input)]);
    got text[];
    seen integer[] := '{}';
    columns text;
    settable text;
    statement text;
    before text;
    ours text;
    theirs text;
    r record;
BEGIN
    EXECUTE format('SELECT string_agg(x::text, '' '' ORDER BY k) FROM %I x', twin) INTO before;
    FOR r IN SELECT o::integer AS o, e, (e->>'k')::integer AS k FROM jsonb_array_elements(input) WITH ORDINALITY q(e, o) ORDER BY 3, 1 LOOP
        IF r.k = ANY (seen) THEN
            want[r.o] := '21000';
            CONTINUE;
        END IF;
        seen := seen || r.k;
        SELECT string_agg(c, ', '), string_agg(format('%s = excluded.%1$s', c), ', ') FILTER (WHERE c <> 'k') INTO columns, settable FROM jsonb_object_keys(r.e) c;
        statement := format('INSERT INTO %I (%s) SELECT %s FROM jsonb_populate_record(NULL::%I, $1)', twin, columns, columns, twin) ||
            CASE WHEN on_conflict = 'error' THEN '' WHEN on_conflict = 'skip' OR settable IS NULL THEN ' ON CONFLICT (k) DO NOTHING'
            ELSE ' ON CONFLICT (k) DO UPDATE SET ' || settable END;
        BEGIN
            EXECUTE statement USING r.e;
            want[r.o] := 'ok';
        EXCEPTION WHEN OTHERS THEN
            want[r.o] := SQLSTATE;
        END;
    END LOOP;
    SELECT array_agg(coalesce(m.sqlstate, 'ok') ORDER BY m.row_number) INTO got FROM ffs_create_many(target::regclass, input, on_conflict, 'report', size) m;
    /* where rows are tried again after others, what they fail for may be another thing */
    IF target = 'tree' THEN
        want := ARRAY(SELECT CASE WHEN x <> 'ok' AND y <> 'ok' THEN y ELSE x END FROM unnest(want, got) WITH ORDINALITY q(x, y, o) ORDER BY o);
    END IF;
    EXECUTE format('SELECT string_agg(x::text, '' '' ORDER BY k) FROM %I x', target) INTO ours;
    EXECUTE format('SELECT string_agg(x::text, '' '' ORDER BY k) FROM %I x', twin) INTO theirs;
    IF want IS DISTINCT FROM got OR ours IS DISTINCT FROM theirs THEN
        RETURN format(E'%s, %s, batch_size %s\n before %s\n input %s\n want %s\n got  %s\n theirs %s\n ours   %s', target, on_conflict, size, before, input, want, got, theirs, ours);
    END IF;
    IF dice(6) = 0 THEN
        EXECUTE format('DELETE FROM %I', target);
        EXECUTE format('DELETE FROM %I', twin);
    END IF;
    RETURN NULL;
END $$;

SELECT setseed(:seed % 1000 / 1000.0), set_config('turns.calls', :'calls', false);
DO $$
DECLARE
    found integer := 0;
    difference text;
    target text;
BEGIN
    FOR i IN 1..current_setting('turns.calls')::integer LOOP
        target := (ARRAY['tree', 'plain', 'lively'])[1 + i % 3];
        difference := check_call(target, target || '_twin');
        CONTINUE WHEN difference IS NULL;
        RAISE WARNING '%', difference;
        found := found + 1;
        EXIT WHEN found = 5;
        EXECUTE format('DELETE FROM %I', target);
        EXECUTE format('DELETE FROM %I', target || '_twin');
    END LOOP;
    RAISE WARNING '% found', found;
END $$;
SELECT ffs_unmanage('tree'), ffs_unmanage('plain'), ffs_unmanage('lively');
DROP SCHEMA turns CASCADE;
