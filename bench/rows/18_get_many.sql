-- @row 100 rows by key from a client, all cached, 2 clients
-- @measure throughput
-- @per :lookups call
-- @target ffs_get_many() >= 2
-- @schema cached
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @fill
SELECT bench_fill(:rows, :tenants);
SELECT bench_keys(:rows, :tenants);
-- @params
SELECT array_agg(md5('row ' || 1 + (n::bigint * 100 + i) * 7919 % :rows)::uuid) FROM generate_series(1, :lookups) n, generate_series(1, 100) i GROUP BY n
-- @before
SELECT ffs_cache_warm('t'), ffstorage.cache_reset();

-- @case id = ANY($1)
-- @each clients=2
SELECT * FROM t WHERE id = ANY ($1)

-- @case ffs_get_many()
-- @each clients=2
SELECT * FROM ffs_get_many(NULL::t, $1)
-- @check
SELECT hits = 100 * :lookups AND misses + bypassed = 0 FROM ffs_stat_cache

-- @case ffs_get_many(), cache off
-- @options ffstorage.cache=off
-- @each clients=2
SELECT * FROM ffs_get_many(NULL::t, $1)

-- @case pg_local_cache, 50,000 keys
-- @needs library pg_local_cache
-- @schema peer_cache
-- @manage
CREATE EXTENSION pg_local_cache;
CREATE ROLE local_cache_worker LOGIN NOINHERIT;
GRANT USAGE ON SCHEMA local_cache TO local_cache_worker;
GRANT SELECT ON local_cache.mapping TO local_cache_worker;
-- @fill
SELECT bench_fill(:rows, :tenants);
SELECT bench_keys(:rows, :tenants);
SELECT local_cache.attach_table('t');
-- @before
SELECT count(local_cache.mget('t', ARRAY[wanted])) FROM keys, unnest(keys[1 : 50000]) AS k(wanted);
-- @params
SELECT array_agg(md5('row ' || 1 + (1 + (n * 100 + i) % 50000) * 7919::bigint % :rows)::uuid) FROM generate_series(1, :lookups) n, generate_series(1, 100) i GROUP BY n
-- @each clients=2
SELECT local_cache.mget('t', $1)
