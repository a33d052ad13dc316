-- ffstorage.query_timeout: it bounds calls, nothing else, and is no cancel.
CREATE EXTENSION ffstorage;
CREATE TABLE slow (id integer PRIMARY KEY, note text);
SELECT ffs_manage('slow', 'scd2', soft_delete => true);
INSERT INTO slow (id) SELECT generate_series(1, 20);
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM pg_sleep(0.05);
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'an exception handler saw %', SQLSTATE;
    END;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER take_time BEFORE INSERT OR UPDATE OR DELETE ON slow FOR EACH ROW EXECUTE FUNCTION take_time();
\set SHOW_CONTEXT never
CREATE FUNCTION many(first integer) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT jsonb_agg(jsonb_build_object('id', i)) FROM generate_series(first, first + 200) i $$;

SET ffstorage.query_timeout = '400 ms';
-- many rows, with every row's errors reported too
SELECT count(*) FROM ffs_create_many('slow', many(101));
SELECT count(*) FROM ffs_create_many('slow', many(101), on_error => 'report');
SELECT count(*) FROM ffs_create_records((SELECT array_agg(ROW(i, 'x', NULL, NULL, NULL, NULL, NULL, NULL, NULL)::slow) FROM generate_series(101, 300) i));
SELECT count(*) FROM ffs_update_many('slow', (SELECT jsonb_agg(jsonb_build_object('id', i, 'note', 'x')) FROM generate_series(1, 20) i), on_error => 'report');
SELECT count(*) FROM ffs_delete_many('slow', (SELECT jsonb_agg(jsonb_build_object('id', i)) FROM generate_series(1, 20) i));
SELECT count(*), count(note) FROM slow;

-- one row
SELECT id FROM ffs_get(NULL::slow, 1);
SELECT ffs_create('slow', '{"id": 101}') ->> 'id' AS id;
SET ffstorage.query_timeout = '20 ms';
SELECT ffs_create('slow', '{"id": 102}');
SELECT ffs_update('slow', '{"id": 101, "note": "x"}');
SELECT ffs_delete('slow', 101);
SELECT id, note FROM slow WHERE id > 20;

-- it ends a call, not the transaction, nor what comes after
BEGIN;
SAVEPOINT s;
SELECT ffs_create('slow', '{"id": 102}');
ROLLBACK TO s;
SELECT pg_sleep(0.1);
SELECT count(*) FROM slow;
COMMIT;
DO $$
BEGIN
    PERFORM ffs_create('slow', '{"id": 102}');
EXCEPTION WHEN SQLSTATE 'ZF030' THEN
    RAISE INFO 'caught: %', SQLERRM;
    PERFORM pg_sleep(0.1);
END $$;

-- calls inside of a call have its time, whatever they ask for
CREATE FUNCTION nested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ffstorage.query_timeout = 0;
    PERFORM ffs_get(NULL::slow, i) FROM generate_series(1, 3) i;
    PERFORM pg_sleep(10);
    RETURN NEW;
END $$;
CREATE TABLE outer_one (id integer PRIMARY KEY);
RESET ffstorage.query_timeout;
SELECT ffs_manage('outer_one');
SET ffstorage.query_timeout = '50 ms';
CREATE TRIGGER nested BEFORE INSERT ON outer_one FOR EACH ROW EXECUTE FUNCTION nested();
SELECT ffs_create('outer_one', '{"id": 1}');

-- a handler of query_canceled does not keep it from ending
CREATE TABLE swallowing (id integer PRIMARY KEY);
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM pg_sleep(10);
    EXCEPTION WHEN query_canceled THEN
        NULL;
    END;
    RETURN NEW;
END $$;
CREATE TRIGGER swallow BEFORE INSERT ON swallowing FOR EACH ROW EXECUTE FUNCTION swallow();
RESET ffstorage.query_timeout;
SELECT ffs_manage('swallowing');
SET ffstorage.query_timeout = '50 ms';
SELECT ffs_create('swallowing', '{"id": 1}');
CALL ffs_run('INSERT INTO swallowing VALUES (2)');
SELECT count(*) FROM swallowing;

-- a statement without a call may take its time; so may a call when it is off
SELECT pg_sleep(0.1);
UPDATE slow SET note = 'y' WHERE id <= 2;
RESET ffstorage.query_timeout;
SELECT ffs_create('slow', '{"id": 103}') ->> 'id' AS id;

-- other timeouts stay what they are
SET ffstorage.query_timeout = '10 min';
SET statement_timeout = '100 ms';
SELECT count(*) FROM ffs_create_many('slow', many(201));
RESET statement_timeout;
SET ffstorage.query_timeout = '100 ms';
SET statement_timeout = '10 min';
SELECT count(*) FROM ffs_create_many('slow', many(201));
RESET statement_timeout;

-- 17 says the range otherwise
\set VERBOSITY sqlstate
SET ffstorage.query_timeout = -1;
\set VERBOSITY default
SET ffstorage.query_timeout = 'soon';
RESET ffstorage.query_timeout;
SET client_min_messages = warning;
SELECT ffs_unmanage_all();
DROP TABLE slow, slow_history, slow_deleted, outer_one, swallowing CASCADE;
DROP FUNCTION take_time, nested, many, swallow;
DROP EXTENSION ffstorage;
