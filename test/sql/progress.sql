-- ffs_progress: how far calls of many rows have come.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION IF NOT EXISTS ffstorage;
CREATE SCHEMA progress;
SET search_path = progress, public;
CREATE FUNCTION preloaded() RETURNS boolean LANGUAGE sql AS
$$SELECT current_setting('shared_preload_libraries') LIKE '%ffstorage%'$$;

CREATE TABLE items (id integer PRIMARY KEY, a integer CHECK (a < 100));
SELECT ffs_manage('items', stamps => false);
CREATE TABLE inner_items (id integer PRIMARY KEY);
SELECT ffs_manage('inner_items', stamps => false);

-- what a session sees of itself while it writes row n
CREATE TABLE seen (id integer, calls bigint, p ffs_progress);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- a call inside of the call is not shown
    PERFORM ffs_create_many('inner_items', jsonb_build_array(jsonb_build_object('id', NEW.id)));
    INSERT INTO seen SELECT NEW.id, (SELECT count(*) FROM ffs_progress WHERE pid = pg_backend_pid()), p
    FROM (SELECT) one LEFT JOIN ffs_progress p ON pid = pg_backend_pid();
    RETURN NEW;
END $$;
CREATE TRIGGER look BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION look();

SELECT count(*) FROM ffs_progress WHERE pid = pg_backend_pid();
SELECT action, count(*) FROM ffs_create_many('items', (SELECT jsonb_agg(jsonb_build_object('id', i, 'a', CASE i WHEN 2 THEN 100 WHEN 3 THEN 200 END)) FROM generate_series(1, 9) i), on_error => 'report', batch_size => 4) GROUP BY action ORDER BY action;
-- without shared memory there is nothing to be seen; else, what is expected here
SELECT id, calls = preloaded()::integer AS shown,
       NOT preloaded() AND p IS NULL OR
       ((p).database, (p).role, (p).relation, (p).operation) = (current_database(), session_user, 'items'::regclass, 'ffs_create_many')
       AND ((p).rows_done, (p).rows_rejected, (p).rows_total, (p).batch) =
           ((id - 1) / 4 * 4, CASE WHEN id > 4 THEN 2 ELSE 0 END, 9, (id - 1) / 4)
       AND (p).started_at BETWEEN now() - interval '1 hour' AND clock_timestamp() AS right
FROM seen ORDER BY id;
TRUNCATE seen;
SELECT count(*) FROM ffs_create_records((SELECT array_agg(ROW(i)::inner_items) FROM generate_series(101, 103) i));
-- ended, whatever the end was
SELECT count(*) FROM ffs_progress WHERE pid = pg_backend_pid();
SELECT ffs_create_many('items', '[{"id": 50, "a": 1000}]');
SELECT count(*) FROM ffs_progress WHERE pid = pg_backend_pid();
BEGIN;
SAVEPOINT a;
SELECT ffs_create_many('items', '[{"id": 51, "a": 1000}]');
ROLLBACK TO a;
SELECT count(*) FROM ffs_progress WHERE pid = pg_backend_pid();
SELECT action FROM ffs_create_many('items', '[{"id": 52}]');
SELECT calls = preloaded()::integer AS shown FROM seen WHERE id = 52;
COMMIT;

-- a role sees its own sessions' calls; who may read all statistics sees all
CREATE ROLE regress_progress;
GRANT USAGE ON SCHEMA progress TO regress_progress;
GRANT ALL ON ALL TABLES IN SCHEMA progress TO regress_progress;
CREATE OR REPLACE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen (id, calls) SELECT NEW.id, (SELECT count(*) FROM ffs_progress);
    RETURN NEW;
END $$;
SET ROLE regress_progress;
SELECT action FROM ffs_create_many('items', '[{"id": 60}]');
RESET ROLE;
GRANT pg_monitor TO regress_progress;
SET ROLE regress_progress;
SELECT action FROM ffs_create_many('items', '[{"id": 61}]');
RESET ROLE;
SELECT id, CASE id WHEN 60 THEN calls = 0 ELSE calls >= preloaded()::integer END AS right FROM seen WHERE id >= 60 ORDER BY id;

SELECT ffs_unmanage_all();
DROP SCHEMA progress CASCADE;
DROP EXTENSION ffstorage;
DROP ROLE regress_progress;
