-- @row single-row UPDATE by key, 2 clients, synchronous_commit on
-- @measure throughput
-- @per 1 transaction
-- @target ffstorage scd2 >= 1 within noise
-- @target ffstorage copy_on_change >= 1 within noise
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @pgbench clients=2 synchronous_commit=on
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
