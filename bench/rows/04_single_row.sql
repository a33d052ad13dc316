-- @row single-row UPDATE by key, 2 clients, synchronous_commit off
-- @measure throughput
-- @per 1 transaction
-- @target ffstorage scd2 >= 0.82
-- @target ffstorage copy_on_change >= 0.75
-- @peers temporal_tables periods supa_audit nearform
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @pgbench clients=2
\set n random(1, :rows)
UPDATE t SET value = value + 1 WHERE id = md5('row ' || :n)::uuid;
-- @after
SELECT bench_clean();

-- @case unmanaged

-- @case ffstorage scd2
-- @manage
SELECT ffs_manage('t', strategy => 'scd2');

-- @case ffstorage copy_on_change
-- @manage
SELECT ffs_manage('t', strategy => 'copy_on_change');

-- @case ffstorage none
-- @manage
SELECT ffs_manage('t');
