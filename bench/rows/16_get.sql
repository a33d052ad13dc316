-- @row look-up by key inside the server, 200,000 random keys, all cached
-- @per :rows look-up
-- @target ffs_get() <= 0.2
-- @schema cached
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
-- @fill
SELECT bench_fill(:rows, :tenants);
SELECT bench_keys(:rows, :tenants);
-- @before
SELECT ffs_cache_warm('t'), ffstorage.cache_reset();

-- @case prepared look-up through SPI
-- @run
DO $$
DECLARE
    wanted uuid;
    found t;
BEGIN
    FOREACH wanted IN ARRAY (SELECT keys FROM keys) LOOP
        SELECT * INTO found FROM t WHERE id = wanted;
    END LOOP;
END
$$

-- @case ffs_get()
-- @run
SELECT count(*) FROM (SELECT ffs_get(NULL::t, wanted) FROM keys, unnest(keys) AS k(wanted) OFFSET 0) x
-- @check
SELECT hits = :rows AND misses + bypassed = 0 FROM ffs_stat_cache

-- @case ffs_get(), cache off
-- @options ffstorage.cache=off
-- @run
SELECT count(*) FROM (SELECT ffs_get(NULL::t, wanted) FROM keys, unnest(keys) AS k(wanted) OFFSET 0) x

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
-- @run
SELECT count(*) FROM (SELECT local_cache.mget('t', ARRAY[wanted]) FROM keys, generate_series(1, :rows / least(50000, :rows)), unnest(keys[1 : 50000]) AS k(wanted) OFFSET 0) x
