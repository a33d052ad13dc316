-- @row look-ups by key inside the server, all cached, by number of clients
-- @measure throughput
-- @per :batch call
-- @target ffs_get(), 2 clients >= 1.7
-- @schema cached
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @fill
SELECT bench_fill(:rows, :tenants);
SELECT bench_keys(:rows, :tenants);
-- @params
SELECT array_agg(md5('row ' || 1 + (n::bigint * 1000 + i) * 7919 % :rows)::uuid) FROM generate_series(1, :batch) n, generate_series(1, 1000) i GROUP BY n
-- @before
SELECT ffs_cache_warm('t'), ffstorage.cache_reset();

-- @case ffs_get(), 1 client
-- @each clients=1
SELECT count(*) FROM (SELECT ffs_get(NULL::t, wanted) FROM unnest($1) AS k(wanted) OFFSET 0) x
-- @check
SELECT hits = 1000 * :batch AND misses + bypassed = 0 FROM ffs_stat_cache

-- @case ffs_get(), 2 clients
-- @each clients=2
SELECT count(*) FROM (SELECT ffs_get(NULL::t, wanted) FROM unnest($1) AS k(wanted) OFFSET 0) x
-- @check
SELECT hits = 1000 * :batch AND misses + bypassed = 0 FROM ffs_stat_cache

-- @case SELECT, 1 client
-- @each clients=1
SELECT count(x) FROM unnest($1) AS k(wanted), LATERAL (SELECT * FROM t WHERE id = wanted OFFSET 0) x

-- @case SELECT, 2 clients
-- @each clients=2
SELECT count(x) FROM unnest($1) AS k(wanted), LATERAL (SELECT * FROM t WHERE id = wanted OFFSET 0) x
