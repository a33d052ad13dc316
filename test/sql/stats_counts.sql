-- What is counted: each operation of a committed transaction once, nothing of
-- what was rolled back, each failed operation as one error.  Without preload
-- (stats_counts_1.out) nothing is.
CREATE EXTENSION ffstorage;
SET client_min_messages = error;
SELECT ffs_stats_reset();
RESET client_min_messages;

CREATE TABLE counted (id integer PRIMARY KEY, n integer CHECK (n < 1000));
SELECT ffs_manage('counted', strategy => 'scd2') IS NOT NULL AS managed;
CREATE FUNCTION counts(OUT operation text, OUT calls bigint, OUT rows bigint, OUT errors bigint) RETURNS SETOF record
LANGUAGE sql AS $$
    SELECT s.operation, s.calls, s.rows, s.errors FROM ffs_stat_operations s
    WHERE s.relation = 'counted'::regclass ORDER BY s.operation
$$;

-- each once
INSERT INTO counted SELECT g, g FROM generate_series(1, 10) g;
INSERT INTO counted VALUES (11, 11), (12, 12);
UPDATE counted SET n = n + 1 WHERE id <= 4;
UPDATE counted SET n = n + 1 WHERE id = 0;
DELETE FROM counted WHERE id = 12;
SELECT * FROM counts();

-- nothing of a transaction that is rolled back, by hand or by an error elsewhere
BEGIN;
INSERT INTO counted VALUES (20, 20);
UPDATE counted SET n = 0;
DELETE FROM counted;
ROLLBACK;
BEGIN;
INSERT INTO counted VALUES (21, 21);
SELECT 1 / 0;
COMMIT;
SELECT * FROM counts();

-- nor of a savepoint, but of what was released into what was committed
BEGIN;
SAVEPOINT a;
INSERT INTO counted VALUES (30, 30);
SAVEPOINT b;
INSERT INTO counted VALUES (31, 31);
RELEASE b;
ROLLBACK TO a;
INSERT INTO counted VALUES (32, 32);
SAVEPOINT c;
INSERT INTO counted VALUES (33, 33);
SAVEPOINT d;
UPDATE counted SET n = n + 1 WHERE id = 33;
RELEASE c;
-- not visible before the end
SELECT * FROM counts();
COMMIT;
SELECT * FROM counts();

-- errors: once each, whether caught or not
\set VERBOSITY terse
INSERT INTO counted VALUES (1, 1);
INSERT INTO counted VALUES (40, 40), (41, 1000);
UPDATE counted SET n = 1000 WHERE id = 1;
DO $$
BEGIN
    FOR i IN 1 .. 3 LOOP
        BEGIN
            INSERT INTO counted VALUES (1, i);
        EXCEPTION WHEN unique_violation THEN
            UPDATE counted SET n = n + 1 WHERE id = 1;
        END;
    END LOOP;
END $$;
SELECT * FROM counts();

\set VERBOSITY default
-- an error around operations that had ended is not theirs
DO $$
BEGIN
    UPDATE counted SET n = n + 1 WHERE id = 1;
    RAISE EXCEPTION 'elsewhere';
END $$;
SELECT * FROM counts();

-- rows that a batch rejects are told of by it, however it found them; a batch that fails is an error
SELECT action, sqlstate, count(*) FROM ffs_create_many('counted', '[{"id": 1, "n": 1}, {"id": 60, "n": 1}, {"id": 61, "n": 1000}]', on_error => 'report') GROUP BY action, sqlstate ORDER BY action, sqlstate;
SELECT action, sqlstate, count(*) FROM ffs_create_many('counted', '[{"id": 1, "n": 1}, {"id": 62, "n": 1}, {"id": 63, "n": 1000}]', on_error => 'report') GROUP BY action, sqlstate ORDER BY action, sqlstate;
SELECT action, sqlstate, count(*) FROM ffs_update_many('counted', '[{"id": 60, "n": 2}, {"id": 62, "n": 1000}]', on_error => 'report') GROUP BY action, sqlstate ORDER BY action, sqlstate;
SELECT * FROM counts();

-- procedures that commit
DO $$
BEGIN
    FOR i IN 50 .. 53 LOOP
        INSERT INTO counted VALUES (i, i);
        IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
    END LOOP;
END $$;
SELECT * FROM counts();

-- with tracking off, nothing
SET ffstorage.track = off;
UPDATE counted SET n = n + 1 WHERE id = 1;
INSERT INTO counted VALUES (1, 1);
RESET ffstorage.track;
SELECT * FROM counts();

-- times and percentiles are in order
SELECT operation, total_ms > 0 AS total, min_ms <= p50_ms AND p50_ms <= p95_ms AND p95_ms <= p99_ms AND p99_ms <= max_ms AS ordered,
       mean_ms BETWEEN min_ms AND max_ms AS mean
FROM ffs_stat_operations WHERE relation = 'counted'::regclass ORDER BY operation;

-- the same on the page
SELECT component, relation, metric, value, unit FROM ffs_stats
WHERE relation = 'counted'::regclass AND metric IN ('insert_calls', 'insert_rows', 'insert_errors') ORDER BY metric;
SELECT component, relation, metric, value > 0 AS positive, unit FROM ffs_stats WHERE metric = 'history_bytes';

-- a prepared transaction counts when it is committed, and only then
BEGIN;
UPDATE counted SET n = n + 1 WHERE id = 2;
PREPARE TRANSACTION 'ffs_stats_counts';
BEGIN;
DELETE FROM counted WHERE id = 3;
INSERT INTO counted VALUES (70, 70);
PREPARE TRANSACTION 'ffs_stats_counts too';
SELECT * FROM counts();
COMMIT PREPARED 'ffs_stats_counts';
ROLLBACK PREPARED 'ffs_stats_counts too';
SELECT * FROM counts();
SELECT details LIKE '%prepared%' AS lost FROM ffs_health WHERE check_name = 'counters';

-- figures go with the table, when that commits
CREATE TABLE counted_too (id integer PRIMARY KEY);
SELECT ffs_manage('counted_too') IS NOT NULL AS managed;
INSERT INTO counted_too VALUES (1);
BEGIN;
DROP TABLE counted_too;
SELECT count(*) FROM ffs_stat_operations WHERE relation IS DISTINCT FROM 'counted'::regclass;
ROLLBACK;
SELECT relation, operation, calls, rows FROM ffs_stat_operations WHERE relation = 'counted_too'::regclass;
BEGIN;
INSERT INTO counted_too VALUES (2);
SELECT ffs_unmanage('counted_too');
DROP TABLE counted_too;
COMMIT;
SELECT count(*) FROM ffs_stat_operations WHERE relation IS DISTINCT FROM 'counted'::regclass;

-- partitions count for the root
CREATE TABLE counted_parts (id integer PRIMARY KEY, n integer) PARTITION BY RANGE (id);
CREATE TABLE counted_parts_1 PARTITION OF counted_parts FOR VALUES FROM (1) TO (100);
CREATE TABLE counted_parts_2 PARTITION OF counted_parts FOR VALUES FROM (100) TO (200);
SELECT ffs_manage('counted_parts') IS NOT NULL AS managed;
INSERT INTO counted_parts VALUES (1, 1), (101, 101);
INSERT INTO counted_parts_2 VALUES (102, 102);
UPDATE counted_parts SET n = 0;
SELECT relation, operation, calls, rows, errors FROM ffs_stat_operations
WHERE relation::text LIKE 'counted_parts%' ORDER BY relation, operation;

-- another tenant's row is one violation and one error
CREATE TABLE counted_tenants (id integer PRIMARY KEY, tenant_id text NOT NULL);
SELECT ffs_manage('counted_tenants', tenant_column => 'tenant_id') IS NOT NULL AS managed;
BEGIN;
SELECT ffs_set_tenant('a');
INSERT INTO counted_tenants VALUES (1, 'a');
SAVEPOINT a;
INSERT INTO counted_tenants VALUES (2, 'b');
ROLLBACK TO a;
COMMIT;
SELECT component, relation, metric, value FROM ffs_stats
WHERE relation = 'counted_tenants'::regclass AND metric IN ('violations', 'insert_calls', 'insert_rows', 'insert_errors') ORDER BY metric;
SELECT status, message, details FROM ffs_health WHERE check_name = 'tenant_violations';

-- begin anew
SET client_min_messages = error;
SELECT ffs_stats_reset();
SELECT count(*) FROM ffs_stat_operations;
SELECT ffs_unmanage_all() IS NOT NULL AS unmanaged;
DROP TABLE counted, counted_parts, counted_tenants CASCADE;
DROP FUNCTION counts();
DROP EXTENSION ffstorage;
