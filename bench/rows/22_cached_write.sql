-- @row write to a table whose rows are cached, single rows by key, 2 clients
-- @per :rows / 5 update
-- @target cached <= 1.03
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @params
SELECT md5('row ' || 1 + n::bigint * 7919 % :rows)::uuid FROM generate_series(1, :rows / 5) n
-- @each clients=2
UPDATE t SET value = value + 1 WHERE id = $1
-- @after
SELECT bench_clean();

-- @case not cached

-- @case cached
-- @before
SELECT ffs_cache_warm('t'), ffstorage.cache_reset();
-- @check
SELECT invalidations >= :rows / 5 FROM ffs_stat_cache
