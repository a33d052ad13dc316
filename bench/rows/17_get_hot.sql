-- @row look-up by key inside the server, 1,000 hot keys, all cached
-- @per :rows look-up
-- @target ffs_get() <= 0.06
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
    FOR turn IN 1 .. :rows / 1000 LOOP
        FOREACH wanted IN ARRAY (SELECT keys[1 : 1000] FROM keys) LOOP
            SELECT * INTO found FROM t WHERE id = wanted;
        END LOOP;
    END LOOP;
END
$$

-- @case ffs_get()
-- @run
SELECT count(*) FROM (SELECT ffs_get(NULL::t, wanted) FROM keys, generate_series(1, :rows / 1000), unnest(keys[1 : 1000]) AS k(wanted) OFFSET 0) x
-- @check
SELECT hits = :rows AND misses + bypassed = 0 FROM ffs_stat_cache

-- @case look-up through SPI, row-level security
-- @session
SET ROLE app;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');
-- @run
DO $$
DECLARE
    wanted uuid;
    found t;
BEGIN
    FOR turn IN 1 .. :rows / 1000 LOOP
        FOREACH wanted IN ARRAY (SELECT own FROM keys) LOOP
            SELECT * INTO found FROM t WHERE id = wanted;
        END LOOP;
    END LOOP;
END
$$

-- @case ffs_get(), row-level security
-- @session
SET ROLE app;
SELECT ffs_set_tenant(md5('tenant 0')::uuid::text, 'session');
-- @run
SELECT count(*) FROM (SELECT ffs_get(NULL::t, wanted) FROM keys, generate_series(1, :rows / 1000), unnest(own) AS k(wanted) OFFSET 0) x
-- @check
SELECT hits = :rows AND misses + bypassed = 0 FROM ffs_stat_cache

-- @case pg_local_cache
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
SELECT count(*) FROM (SELECT local_cache.mget('t', ARRAY[wanted]) FROM keys, generate_series(1, :rows / 1000), unnest(keys[1 : 1000]) AS k(wanted) OFFSET 0) x
