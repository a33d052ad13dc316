-- How many calls of a tenant run at once: settings, figures, health, errors.
-- (What happens between sessions is in test/t/022_admission.pl.)  Without
-- preload there is no limit: admission.out is preloaded, admission_1.out is not.
CREATE EXTENSION ffstorage;
CREATE TABLE limited (id integer PRIMARY KEY, tenant text NOT NULL, note text);
CREATE TABLE inner_one (id integer PRIMARY KEY);
SELECT ffs_manage('limited', 'scd2', 'tenant'), ffs_manage('inner_one');
CREATE FUNCTION nested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ffs_create('inner_one', jsonb_build_object('id', NEW.id));
    PERFORM running FROM ffs_stat_admission WHERE running > 1;
    IF FOUND THEN RAISE 'counted twice'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER nested BEFORE INSERT ON limited FOR EACH ROW EXECUTE FUNCTION nested();
SELECT status, message, details FROM ffs_health WHERE check_name = 'admission';

-- nothing is counted without a limit
SELECT ffs_count('inner_one');
SELECT count(*) FROM ffs_stat_admission;

-- a call inside of another is part of it; whose it is
SET ffstorage.max_running_per_tenant = 1;
BEGIN;
SELECT ffs_set_tenant('acme');
SELECT ffs_create('limited', '{"id": 1}') ->> 'tenant' AS tenant;
SELECT ffs_create('limited', '{"id": 2}') ->> 'tenant' AS tenant;
SELECT a.id, b.id FROM ffs_get(NULL::limited, 1) a, ffs_get(NULL::limited, 2) b;
COMMIT;
BEGIN;
SELECT ffs_set_tenants('{acme,other}');
SELECT ffs_count('limited');
COMMIT;
BEGIN;
SELECT ffs_set_tenant(repeat('x', 100));
SELECT ffs_count('limited');
COMMIT;
CALL ffs_run('INSERT INTO inner_one VALUES (3)', tenant => 'other');
SELECT tenant, role = session_user AS by_role, running, waiting, most_waiting, calls, waited, wait_ms, refused, last_refused_at
FROM ffs_stat_admission ORDER BY tenant COLLATE "C" NULLS LAST;
SELECT status, message, details FROM ffs_health WHERE check_name = 'admission';

-- errors leave the place to others
SELECT ffs_create('inner_one', '{"id": 1}');
SELECT ffs_create('nothing', '{}');
BEGIN;
SAVEPOINT s;
SELECT ffs_create('inner_one', '{"id": 1}');
ROLLBACK TO s;
SELECT ffs_create('inner_one', '{"id": 4}') ->> 'id' AS id;
ROLLBACK;
SET statement_timeout = '50 ms';
CALL ffs_run('SELECT pg_sleep(10)');
RESET statement_timeout;
SELECT ffs_count('inner_one');
SELECT sum(running) AS running, sum(waiting) AS waiting FROM ffs_stat_admission;

-- the settings, and who may
SET ffstorage.max_running_per_tenant = -1;
-- 17 says the range otherwise
\set VERBOSITY sqlstate
SET ffstorage.admission_timeout = -1;
\set VERBOSITY default
SET ffstorage.admission_timeout = '1 min';
CREATE ROLE ffs_admission_app;
SET ROLE ffs_admission_app;
SET ffstorage.max_running_per_tenant = 100;
RESET ffstorage.max_running_per_tenant;
SET ffstorage.admission_timeout = '1 h';
SELECT count(*) FROM ffs_stat_admission;
RESET ROLE;
DROP ROLE ffs_admission_app;
RESET ALL;
SET client_min_messages = warning;
SELECT ffs_unmanage_all();
DROP TABLE limited, limited_history, inner_one CASCADE;
DROP FUNCTION nested;
DROP EXTENSION ffstorage;
