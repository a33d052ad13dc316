-- @row UPDATE of 100,000 rows in one statement, none (stamps only)
-- @per :half row
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @run
UPDATE t SET value = value + 1 WHERE status = 'open';
-- @after
SELECT bench_clean();

-- @case unmanaged

-- @case ffstorage
-- @manage
SELECT ffs_manage('t');
