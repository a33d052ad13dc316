-- @row the tenant policy: each row of a scan
-- @measure difference
-- @per :rows row
-- @target ffstorage <= 5
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @session
SET ROLE app;
SET enable_indexscan = off;
SET enable_bitmapscan = off;

-- @case no policy, condition in the query
-- @run
SELECT count(*), sum(value) FROM t WHERE tenant_id = md5('tenant 0')::uuid

-- @case ffstorage
-- @manage
SELECT ffs_manage('t', tenant_column => 'tenant_id', stamps => false);
-- @session
SET ROLE app;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');
-- @run
SELECT count(*), sum(value) FROM t

-- @case current_setting() by hand
-- @manage
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON t USING (tenant_id = current_setting('app.tenant')::uuid);
-- @session
SET ROLE app;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT set_config('app.tenant', md5('tenant 0')::uuid::text, false);
-- @run
SELECT count(*), sum(value) FROM t
