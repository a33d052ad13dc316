-- @row rows created in batches of 1,000
-- @measure throughput
-- @per :half row
-- @vary rows 10000 100000 1000000 10000000
-- @vary tenants 1 10 100 1000
-- @vary clients 1 2 4 8 16
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::t)
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, 1)) r
GROUP BY batch ORDER BY batch
-- @check
SELECT count(*) = :new_last FROM t
-- @after
SELECT bench_remove(:new_first, :new_last);
SELECT bench_clean();

-- @case unmanaged, unnest(rows)
-- @schema plain
-- @session
SET ROLE app;
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note)::t)
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, 1)) r
GROUP BY batch ORDER BY batch
-- @each clients=:clients
INSERT INTO t SELECT * FROM unnest($1)

-- @case scd2, tenant: ffs_create_records
-- @needs function ffs_create_records
-- @schema scd2
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @session
SET ROLE app;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');
-- @each clients=:clients
SELECT * FROM ffs_create_records($1, on_error => 'report', batch_size => :batch)

-- @case copy_on_change, tenant: ffs_create_records
-- @needs function ffs_create_records
-- @schema audited
-- @manage
SELECT ffs_manage('t', strategy => 'copy_on_change', tenant_column => 'tenant_id');
-- @session
SET ROLE app;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note, NULL, NULL, NULL, NULL)::t)
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, 1)) r
GROUP BY batch ORDER BY batch
-- @each clients=:clients
SELECT * FROM ffs_create_records($1, on_error => 'report', batch_size => :batch)

-- @case scd2, tenant: ffs_create_many
-- @schema scd2
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @session
SET ROLE app;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');
-- @params
SELECT jsonb_agg(to_jsonb(r) - 'batch')
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, 1)) r
GROUP BY batch ORDER BY batch
-- @each clients=:clients
SELECT * FROM ffs_create_many('t', $1, on_error => 'report', batch_size => :batch)
