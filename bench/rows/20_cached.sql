-- @row an aggregate over one tenant's 2,000 rows, inside the server
-- @per 200 run
-- @target ffs_cached() <= 0.02
-- @schema cached
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @fill
SELECT bench_fill(:rows, :tenants);
SELECT bench_keys(:rows, :tenants);
-- @session
SET ROLE app;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');

-- @case running it
-- @run
DO $$
DECLARE
    found record;
BEGIN
    FOR turn IN 1 .. 200 LOOP
        FOR found IN SELECT status, count(*), sum(value) AS value, max(due) AS due FROM t GROUP BY status LOOP
        END LOOP;
    END LOOP;
END
$$

-- @case ffs_cached()
-- @run
DO $$
DECLARE
    found jsonb;
BEGIN
    FOR turn IN 1 .. 200 LOOP
        FOR found IN SELECT ffs_cached('SELECT status, count(*), sum(value) AS value, max(due) AS due FROM t GROUP BY status') LOOP
        END LOOP;
    END LOOP;
END
$$

-- @case ffs_cached(), cache off
-- @options ffstorage.cache=off
-- @run
DO $$
DECLARE
    found jsonb;
BEGIN
    FOR turn IN 1 .. 200 LOOP
        FOR found IN SELECT ffs_cached('SELECT status, count(*), sum(value) AS value, max(due) AS due FROM t GROUP BY status') LOOP
        END LOOP;
    END LOOP;
END
$$
