-- Circuit breakers: states, names, rights, figures.  Without preload every
-- call goes: breakers.out is preloaded, breakers_1.out is not.
CREATE EXTENSION ffstorage;
SET ffstorage.breaker_open_time = '1h';

-- closed until five failures in a row
SELECT ffs_breaker_allow('mail') AS go;
SELECT ffs_breaker_report('mail', false) FROM generate_series(1, 4);
SELECT ffs_breaker_report('mail', true);
SELECT ffs_breaker_report('mail', false) FROM generate_series(1, 4);
SELECT name, state, failures FROM ffs_breakers;
SELECT ffs_breaker_allow('mail') AS go;
SELECT ffs_breaker_report('mail', false);
SELECT name, state, failures FROM ffs_breakers;
SELECT ffs_breaker_allow('mail') AS go;
SELECT ffs_breaker_allow('other') AS go;
SELECT name, state, calls, rejected, succeeded, failed, times_opened,
       last_failure_at > now() - interval '1 min' AS just_failed, last_failure,
       next_probe_at - opened_at BETWEEN interval '59 min' AND interval '61 min' AS in_an_hour
FROM ffs_breakers ORDER BY name;
SELECT status, message, details FROM ffs_health WHERE check_name = 'breakers';

-- a success of a call from before it opened proves nothing
SELECT ffs_breaker_report('mail', true);
SELECT state FROM ffs_breakers WHERE name = 'mail';

-- half-open after its time: one caller goes, who fails, and it is open again
SET ffstorage.breaker_open_time = 0;
SELECT state FROM ffs_breakers WHERE name = 'mail';
BEGIN;
SELECT ffs_breaker_allow('mail') AS go;
SELECT ffs_breaker_allow('mail') AS go;
SELECT state, probe_pid = pg_backend_pid() AS ours, next_probe_at FROM ffs_breakers WHERE name = 'mail';
SELECT ffs_breaker_report('mail', false);
COMMIT;
SET ffstorage.breaker_open_time = '1h';
SELECT state, times_opened FROM ffs_breakers WHERE name = 'mail';
SELECT ffs_breaker_allow('mail') AS go;

-- who tries and is rolled back without a report leaves the probe to others
SET ffstorage.breaker_open_time = 0;
BEGIN;
SELECT ffs_breaker_allow('mail') AS go;
ROLLBACK;
BEGIN;
SELECT ffs_breaker_allow('mail') AS go;
SAVEPOINT s;
SELECT ffs_breaker_allow('mail') AS go;
ROLLBACK TO s;
SELECT ffs_breaker_allow('mail') AS go;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT ffs_breaker_allow('mail') AS go;
RELEASE s;
SELECT ffs_breaker_allow('mail') AS go;
SAVEPOINT s;
SELECT ffs_breaker_allow('mail') AS go;
ROLLBACK TO s;
SELECT ffs_breaker_allow('mail') AS go;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT ffs_breaker_allow('mail') AS go;
ROLLBACK TO s;
SELECT ffs_breaker_allow('mail') AS go;

-- and a success closes it, although that transaction is rolled back
SELECT ffs_breaker_report('mail', true);
ROLLBACK;
SELECT state, failures, probe_pid FROM ffs_breakers WHERE name = 'mail';
SELECT status, message FROM ffs_health WHERE check_name = 'breakers';

-- another number of failures; by hand
SET ffstorage.breaker_failures = 1;
SET ffstorage.breaker_open_time = '1h';
SELECT ffs_breaker_report('mail', false);
SELECT state FROM ffs_breakers WHERE name = 'mail';
SELECT ffs_breaker_reset('mail') AS was_there;
SELECT ffs_breaker_reset('nobody') AS was_there;
SELECT state, failures FROM ffs_breakers WHERE name = 'mail';
SELECT ffs_breaker_allow('mail') AS go;
SELECT count(*) FROM ffs_breakers WHERE name = 'nobody';
RESET ffstorage.breaker_failures;

-- names and arguments
\set SHOW_CONTEXT never
DO $$
DECLARE
    call text;
    state text; message text; detail text; hint text;
BEGIN
    FOREACH call IN ARRAY ARRAY[
        'ffs_breaker_allow(NULL)', 'ffs_breaker_allow('''')', 'ffs_breaker_allow(repeat(''x'', 64))',
        'ffs_breaker_report(NULL, true)', 'ffs_breaker_report(''mail'', NULL)', 'ffs_breaker_reset(NULL)'] LOOP
        BEGIN
            EXECUTE 'SELECT ' || call;
            RAISE INFO '%: no error', call;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            RAISE INFO '%: % % | % | %', call, state, message, detail, hint;
        END;
    END LOOP;
END $$;
SELECT ffs_breaker_allow(repeat('x', 63)) AS go;
SELECT ffs_breaker_allow('ümlaut ''quoted'' "name"') AS go;
SELECT name FROM ffs_breakers ORDER BY name COLLATE "C";
SET ffstorage.breaker_failures = 0;
-- 17 says the range otherwise
\set VERBOSITY sqlstate
SET ffstorage.breaker_open_time = -1;
\set VERBOSITY default
SET ffstorage.max_breakers = 5;

-- who may
CREATE ROLE ffs_breakers_app;
CREATE ROLE ffs_breakers_watcher IN ROLE pg_monitor;
SET ROLE ffs_breakers_app;
SELECT ffs_breaker_allow('mail') AS go;
SELECT ffs_breaker_report('mail', true);
SELECT ffs_breaker_reset('mail');
SELECT * FROM ffs_breakers;
SET ROLE ffs_breakers_watcher;
SELECT count(*) >= 0 AS ok FROM ffs_breakers;
RESET ROLE;
DROP ROLE ffs_breakers_app, ffs_breakers_watcher;

-- closed, and so in nobody's way
SELECT ffs_breaker_reset(name) FROM ffs_breakers;
DROP EXTENSION ffstorage;
