-- @row single-row UPDATE by key
-- @measure throughput
-- @per :lookups update
-- @vary rows 10000 100000 1000000 10000000
-- @vary tenants 1 10 100 1000
-- @vary clients 1 2 4 8 16
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @params
SELECT md5('row ' || :tenants * (1 + n::bigint * 7919 % (:rows / :tenants)))::uuid FROM generate_series(1, :lookups) n
-- @each clients=:clients
UPDATE t SET value = value + 1 WHERE id = $1
-- @after
SELECT bench_clean();

-- @case unmanaged
-- @schema plain
-- @session
SET ROLE app;

-- @case scd2, tenant
-- @schema scd2
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @session
SET ROLE app;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');

-- @case copy_on_change, tenant
-- @schema audited
-- @manage
SELECT ffs_manage('t', strategy => 'copy_on_change', tenant_column => 'tenant_id');
-- @session
SET ROLE app;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');
