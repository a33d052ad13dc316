-- @row COPY of 100,000 rows into a managed table
-- @per :half row
-- @target ffstorage scd2 <= 1.15
-- @target ffstorage scd2, tenant column <= 1.2
-- @target ffstorage copy_on_change <= 1.6
-- @peers temporal_tables periods supa_audit nearform
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @data
COPY (SELECT * FROM bench_rows(:new_first, :new_last, :tenants)) TO STDOUT
-- @copy
COPY t (id, tenant_id, customer, status, value, due, note) FROM STDIN
-- @check
SELECT count(*) = :new_last FROM t
-- @after
SELECT bench_remove(:new_first, :new_last);
SELECT bench_clean();

-- @case unmanaged

-- @case ffstorage scd2
-- @manage
SELECT ffs_manage('t', strategy => 'scd2');

-- @case ffstorage scd2, tenant column
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');

-- @case ffstorage scd2, tenant set
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @session
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');
-- @data
COPY (SELECT * FROM bench_rows(:new_first, :new_last, 1)) TO STDOUT

-- @case ffstorage copy_on_change
-- @manage
SELECT ffs_manage('t', strategy => 'copy_on_change');

-- @case ffstorage none
-- @manage
SELECT ffs_manage('t');
