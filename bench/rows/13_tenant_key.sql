-- @row the tenant policy: key read, 2 clients
-- @measure throughput
-- @per :lookups read
-- @target ffstorage >= 0.95
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @session
SET ROLE app;
-- @params
SELECT md5('row ' || :tenants * (1 + n * 7919 % (:rows / :tenants)))::uuid FROM generate_series(1, :lookups) n
-- @each clients=2
SELECT id, tenant_id, customer, status, value, due, note FROM t WHERE id = $1

-- @case no policy

-- @case ffstorage
-- @manage
SELECT ffs_manage('t', tenant_column => 'tenant_id', stamps => false);
-- @session
SET ROLE app;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');

-- @case current_setting() by hand
-- @manage
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON t USING (tenant_id = current_setting('app.tenant')::uuid);
-- @session
SET ROLE app;
SELECT set_config('app.tenant', md5('tenant 0')::uuid::text, false);
