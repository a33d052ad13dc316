-- @row write to a table whose rows are cached, 900 rows a statement
-- @per :rows row
-- @target cached <= 1.03
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @params
SELECT array_agg(md5('row ' || 1 + (n::bigint * 900 + i) * 7919 % :rows)::uuid) FROM generate_series(0, :rows / 900 - 1) n, generate_series(1, 900) i GROUP BY n
-- @each clients=1
UPDATE t SET value = value + 1 WHERE id = ANY ($1)
-- @after
SELECT bench_clean();

-- @case not cached

-- @case cached
-- @before
SELECT ffs_cache_warm('t'), ffstorage.cache_reset();
-- @check
SELECT invalidations >= :rows / 900 * 900 FROM ffs_stat_cache
