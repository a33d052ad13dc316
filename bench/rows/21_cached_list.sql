-- @row a list of one tenant's 2,000 rows, from 2 clients
-- @measure throughput
-- @per 200 call
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
-- @params
SELECT text 'open' FROM generate_series(1, 200)

-- @case rows
-- @each clients=2
SELECT id, customer, value, due FROM t WHERE status = $1 OR value >= 0

-- @case rows as jsonb
-- @each clients=2
SELECT to_jsonb(q) FROM (SELECT id, customer, value, due FROM t WHERE status = $1 OR value >= 0) q

-- @case ffs_cached()
-- @each clients=2
SELECT ffs_cached('SELECT id, customer, value, due FROM t WHERE status = $1 OR value >= 0', NULL, $1)
