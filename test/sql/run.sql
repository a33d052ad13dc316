-- ffs_run: statements, parameters, context, attempts, where it may be called.
-- (Breakers and loads are in test/t/021_run.pl.)
CREATE EXTENSION ffstorage;
CREATE SCHEMA run;
SET search_path = run, public;
CREATE TABLE kept (id integer PRIMARY KEY, note text, data jsonb, list integer[], at timestamptz DEFAULT now());
CREATE SEQUENCE attempts;
CREATE FUNCTION fail(state text, succeed_at integer DEFAULT 1000000, id integer DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF id IS NOT NULL THEN
        INSERT INTO kept (id) VALUES (fail.id);
    END IF;
    IF nextval('attempts') < succeed_at THEN
        RAISE EXCEPTION 'not now' USING ERRCODE = state, DETAIL = 'Some detail.';
    END IF;
END $$;
\set SHOW_CONTEXT never

-- a statement and its parameters
CALL ffs_run('INSERT INTO kept VALUES (1, ''plain'')');
CALL ffs_run('INSERT INTO kept VALUES ($1, $2, $3, $4)', '[2, "text", {"a": [1, "b"]}, [1, null, 3]]');
CALL ffs_run('INSERT INTO kept VALUES ($1, $2, $3, $4)', '["3", 4.50, "text", null]');
CALL ffs_run('INSERT INTO kept VALUES ($1, $2, $3)', '[4, true, null]');
CALL ffs_run('INSERT INTO kept (id, note) SELECT $1 + i, $2::date::text FROM generate_series(1, $3) i', '[10, "2026-11-25", 2]');
CALL ffs_run('UPDATE kept SET note = note || $1 WHERE id = ANY ($2)', '["!", [1, 2]]');
CALL ffs_run('DELETE FROM kept WHERE id = $1 RETURNING *', '[4]');
CALL ffs_run('SELECT * FROM kept');
CALL ffs_run('CREATE TABLE made AS SELECT 1 AS one');
CALL ffs_run('DO $do$ BEGIN INSERT INTO kept (id) VALUES (20); INSERT INTO kept (id) VALUES (21); END $do$');
CALL ffs_run(statement => 'INSERT INTO kept (id) VALUES ($1)', params => '[22]', max_attempts => 1, base_delay => '0', timeout => '1 min');
SELECT id, note, data, list FROM kept ORDER BY id;
SELECT * FROM made;
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE typed (p positive, c pair, j json, r int4range, n numeric);
CALL ffs_run('INSERT INTO typed VALUES ($1, $2, $3, $4, $5)', '[1, {"a": 1, "b": "x y"}, {"k": [true]}, "[1,5)", 12345678901234567890.123]');
CALL ffs_run('INSERT INTO typed (p) VALUES ($1)', '[-1]');
SELECT * FROM typed;
-- a domain whose check reads tables
CREATE FUNCTION is_kept(integer) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM kept WHERE id = $1 OFFSET 0)';
CREATE DOMAIN kept_id AS integer CHECK (is_kept(VALUE));
CREATE TABLE refers (id kept_id);
CALL ffs_run('INSERT INTO refers VALUES ($1)', '[2]');
CALL ffs_run('INSERT INTO refers VALUES ($1)', '[99]');
SELECT * FROM refers;
CREATE TABLE arrays (a bpchar[], b bit varying[], c varchar(3)[]);
CALL ffs_run('INSERT INTO arrays VALUES ($1, $2, $3)', '[["abc"], ["101"], ["abc", null]]');
CALL ffs_run('INSERT INTO arrays VALUES ($1, $2, $3)', '[["abc"], ["101"], ["abcd"]]');
SELECT * FROM arrays;

-- errors of the statement as they are, with the place in its own text
CALL ffs_run('INSERT INTO kept (id) VALUES (1)');
CALL ffs_run('SELEC 1');
CALL ffs_run('SELECT nothing FROM kept');
CALL ffs_run('INSERT INTO kept (id) VALUES ($1)', '["x"]');
CALL ffs_run('SELECT 1/$1', '[0]');
CALL ffs_run('SELECT fail($1)', '["P0001"]');
SELECT last_value FROM attempts;

-- what it does not take
CALL ffs_run(NULL);
CALL ffs_run('');
CALL ffs_run('SELECT 1; SELECT 2');
CALL ffs_run('COMMIT');
CALL ffs_run('SAVEPOINT s');
CALL ffs_run('VACUUM kept');
CALL ffs_run('COPY kept TO STDOUT');
CALL ffs_run('CALL ffs_run(''SELECT 1'')');
CALL ffs_run('DO $do$ BEGIN COMMIT; END $do$');
CALL ffs_run('SELECT 1', '{"a": 1}');
CALL ffs_run('SELECT 1', '1');
CALL ffs_run('SELECT 1', '[1]');
CALL ffs_run('SELECT $1::integer, $2::integer', '[1]');
CALL ffs_run('SELECT $2::integer', '[1, 2]');
CALL ffs_run('SELECT 1', NULL);
CALL ffs_run('SELECT 1', max_attempts => 0);
CALL ffs_run('SELECT 1', max_attempts => NULL);
CALL ffs_run('SELECT 1', base_delay => NULL);
CALL ffs_run('SELECT 1', base_delay => '-1 s');
CALL ffs_run('SELECT 1', timeout => '-1 s');
CALL ffs_run('SELECT 1', isolation => 'none');
CALL ffs_run('SELECT 1', breaker => '');
CALL ffs_run('SELECT 1', tenant => '');
CALL ffs_run('SELECT 1', actor => 'me', metadata => '[]');

-- only by itself
BEGIN;
CALL ffs_run('SELECT 1');
ROLLBACK;
CREATE FUNCTION calls() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL ffs_run('SELECT 1'); END $$;
SELECT calls();
DO $$ BEGIN BEGIN CALL ffs_run('SELECT 1'); EXCEPTION WHEN division_by_zero THEN NULL; END; END $$;
DO $$ BEGIN INSERT INTO kept (id) VALUES (30); CALL ffs_run('SELECT 1'); END $$;
DO $$ BEGIN INSERT INTO kept (id) VALUES (31); COMMIT; CALL ffs_run('INSERT INTO kept (id) VALUES (32)'); END $$;
DO $$
DECLARE i integer;
BEGIN
    FOR i IN SELECT id FROM kept WHERE id > 30 ORDER BY id LOOP
        CALL ffs_run('INSERT INTO kept (id) VALUES ($1)', jsonb_build_array(i + 10));
    END LOOP;
END $$;
CREATE PROCEDURE definer() LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN CALL ffs_run('SELECT 1'); END $$;
CALL definer();
SELECT id FROM kept WHERE id >= 30 ORDER BY id;

-- attempts: what helps is tried again, and done once
SELECT setval('attempts', 1, false);
CALL ffs_run('SELECT fail($1, 3, 100)', '["40001"]', base_delay => '1 ms');
SELECT last_value FROM attempts;
SELECT setval('attempts', 1, false);
CALL ffs_run('SELECT fail($1, 2, 101)', '["40P01"]', base_delay => '0');
CALL ffs_run('SELECT fail($1, 4, 102)', '["55P03"]', base_delay => '0');
CALL ffs_run('SELECT fail($1, 6, 103)', '["08006"]', base_delay => '0');
CALL ffs_run('SELECT fail($1, 8, 104)', '["HV00N"]', base_delay => '0');
CALL ffs_run('SELECT fail($1, 10, 105)', '["57P01"]', base_delay => '0');
SELECT last_value FROM attempts;
SELECT count(*) FROM kept WHERE id BETWEEN 100 AND 105;
SELECT setval('attempts', 1, false);
CALL ffs_run('SELECT fail($1, 100, 106)', '["40001"]', max_attempts => 5, base_delay => '1 ms');
SELECT last_value FROM attempts;
CALL ffs_run('SELECT fail($1, 100, 106)', '["40001"]', max_attempts => 1);
SELECT count(*) FROM kept WHERE id = 106;

-- errors in COMMIT too; but not of a foreign server, which may have committed
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fail(NEW.note, 3);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON kept DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.note ~ '^\w{5}$') EXECUTE FUNCTION late();
SELECT setval('attempts', 1, false);
CALL ffs_run('INSERT INTO kept VALUES (200, $1)', '["40001"]', base_delay => '1 ms');
SELECT last_value FROM attempts;
SELECT setval('attempts', 1, false);
CALL ffs_run('INSERT INTO kept VALUES (201, $1)', '["08006"]', base_delay => '1 ms');
CALL ffs_run('INSERT INTO kept VALUES (202, $1)', '["23503"]', base_delay => '1 ms');
SELECT last_value FROM attempts;
SELECT id, note FROM kept WHERE id >= 200;

-- now() moves on from attempt to attempt
SELECT setval('attempts', 1, false);
CREATE SEQUENCE moment;
CREATE FUNCTION compare_moments() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('attempts') = 1 THEN
        PERFORM setval('moment', (extract(epoch FROM now()) * 1000)::bigint), pg_sleep(0.2);
        RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO kept (id, note) SELECT 110, extract(epoch FROM now()) * 1000 - last_value >= 200 FROM moment;
END $$;
CALL ffs_run('SELECT compare_moments()', base_delay => '1 ms');
SELECT note FROM kept WHERE id = 110;

-- a time for all of it, waits too
CALL ffs_run('SELECT pg_sleep(60)', timeout => '100 ms');
SELECT setval('attempts', 1, false);
CALL ffs_run('SELECT fail($1)', '["40001"]', max_attempts => 1000000, base_delay => '20 ms', timeout => '200 ms');
SELECT last_value BETWEEN 2 AND 1000 AS some FROM attempts;
SET ffstorage.query_timeout = '100 ms';
CALL ffs_run('SELECT pg_sleep(60)');
CALL ffs_run('SELECT pg_sleep(60)', timeout => '1 h');
RESET ffstorage.query_timeout;
SET statement_timeout = '100 ms';
CALL ffs_run('SELECT pg_sleep(60)', timeout => '1 h');
RESET statement_timeout;
SET lock_timeout = '10 ms';
SELECT pg_sleep(0.2);
CALL ffs_run('SELECT 1', timeout => '100 ms');
SELECT pg_sleep(0.2);
RESET lock_timeout;

-- the context of each attempt; and nothing of it afterwards
CREATE TABLE seen (n bigint, isolation text, tenant text, actor text);
CREATE TABLE owned (id integer PRIMARY KEY, tenant text NOT NULL);
SELECT ffs_manage('owned', 'scd2', 'tenant');
CREATE FUNCTION look() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO owned (id) VALUES (1);
    INSERT INTO seen VALUES (nextval('attempts'), current_setting('transaction_isolation'), ffs_tenant(), (SELECT created_by FROM owned));
    IF (SELECT n FROM seen) < 3 THEN
        RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure';
    END IF;
END $$;
SELECT setval('attempts', 1, false);
CALL ffs_run('SELECT look()', isolation => 'SERIALIZABLE', tenant => 'acme', actor => 'ana', metadata => '{"ticket": "OPS-7"}', base_delay => '1 ms');
SELECT * FROM seen;
SELECT tenant, created_by, version FROM owned;
CALL ffs_run('UPDATE owned SET id = 5', tenant => 'acme', metadata => '{"ticket": "OPS-8"}');
SELECT replace(actor, session_user, 'session user') AS actor, metadata FROM ffs_transactions WHERE metadata ->> 'ticket' ~ 'OPS';
SELECT ffs_tenant(), current_setting('transaction_isolation');
CALL ffs_run('INSERT INTO owned VALUES (2, ''other'')', tenant => 'acme');
SELECT ffs_set_tenant('session', 'session');
CALL ffs_run('INSERT INTO owned (id) VALUES (3)');
CALL ffs_run('INSERT INTO owned (id) VALUES (4)', tenant => 'acme');
RESET ALL;
SET search_path = run, public;
SELECT id, tenant FROM owned ORDER BY id;

-- as the caller
CREATE ROLE ffs_run_app;
GRANT USAGE ON SCHEMA run TO ffs_run_app;
GRANT SELECT ON kept TO ffs_run_app;
SET ROLE ffs_run_app;
CALL ffs_run('INSERT INTO kept (id) VALUES (300)');
CALL ffs_run('SELECT count(*) FROM kept');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION ffs_set_tenant(text, text) FROM PUBLIC;
SET ROLE ffs_run_app;
CALL ffs_run('SELECT 1', tenant => 'acme');
RESET ROLE;
GRANT EXECUTE ON FUNCTION ffs_set_tenant(text, text) TO PUBLIC;
REVOKE ALL ON SCHEMA run FROM ffs_run_app;
DROP OWNED BY ffs_run_app;
DROP ROLE ffs_run_app;

-- whatever the search path
CREATE FUNCTION run.ffs_set_tenant(text, text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'the wrong one'; END $$;
CREATE FUNCTION run.jsonb_to_record(jsonb) RETURNS record LANGUAGE plpgsql AS $$ BEGIN RAISE 'the wrong one'; END $$;
SET search_path = run, public, pg_catalog;
CALL public.ffs_run('SELECT $1::integer[]', '[[1, 2]]', tenant => 'acme');

SET client_min_messages = warning;
SELECT ffs_unmanage_all();
DROP SCHEMA run CASCADE;
DROP EXTENSION ffstorage;
