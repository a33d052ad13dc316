/* ---- cache: rows by key in shared memory ---- */

CREATE FUNCTION ffstorage.stat_cache(
    OUT hits bigint, OUT misses bigint, OUT bypassed bigint, OUT fills bigint, OUT refused bigint,
    OUT evictions bigint, OUT invalidations bigint, OUT result_hits bigint, OUT result_misses bigint,
    OUT result_bypassed bigint, OUT result_fills bigint, OUT result_refused bigint, OUT result_waits bigint,
    OUT entries bigint, OUT used_bytes bigint,
    OUT capacity_bytes bigint, OUT shared_bytes bigint, OUT max_row_bytes bigint)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.stat_cache() IS
'what the view ffs_stat_cache shows; no row where there is no cache';

CREATE FUNCTION ffstorage.cache_reset() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.cache_reset() IS
'sets what ffs_stat_cache counts to zero, for all databases; a warning where there is no cache. GRANT EXECUTE to roles that may';
REVOKE ALL ON FUNCTION ffstorage.stat_cache(), ffstorage.cache_reset() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ffstorage.stat_cache() TO pg_monitor;

CREATE VIEW ffs_stat_cache AS
SELECT s.hits, s.misses, s.bypassed, s.fills, s.refused, s.evictions, s.invalidations,
       s.hits::double precision / NULLIF(s.hits + s.misses + s.bypassed, 0) AS hit_ratio,
       s.result_hits, s.result_misses, s.result_bypassed, s.result_fills, s.result_refused, s.result_waits,
       s.result_hits::double precision / NULLIF(s.result_hits + s.result_misses + s.result_bypassed, 0) AS result_hit_ratio,
       s.entries, s.used_bytes, s.capacity_bytes, s.shared_bytes, s.max_row_bytes
FROM ffstorage.stat_cache() AS s;
COMMENT ON VIEW ffs_stat_cache IS
'what the cache of rows did since the server started, in all databases, one row (none where there is no cache); counts of a transaction come in when it ends';
COMMENT ON COLUMN ffs_stat_cache.hits IS 'rows, or their absence, given without a look into the tables';
COMMENT ON COLUMN ffs_stat_cache.misses IS 'rows that had to be read from their table';
COMMENT ON COLUMN ffs_stat_cache.bypassed IS 'look-ups that the cache had to leave to a query: SERIALIZABLE, other policies on the table, schema changes in the same transaction, and their like';
COMMENT ON COLUMN ffs_stat_cache.fills IS 'rows that were put in';
COMMENT ON COLUMN ffs_stat_cache.refused IS 'rows that were not put in, because another transaction was changing something of them';
COMMENT ON COLUMN ffs_stat_cache.evictions IS 'rows that made room for others';
COMMENT ON COLUMN ffs_stat_cache.invalidations IS 'rows that were taken out because they changed';
COMMENT ON COLUMN ffs_stat_cache.hit_ratio IS 'hits among all look-ups, 0 to 1';
COMMENT ON COLUMN ffs_stat_cache.result_hits IS 'calls of ffs_cached that were answered without a look into the tables';
COMMENT ON COLUMN ffs_stat_cache.result_misses IS 'calls of ffs_cached that had to run their query';
COMMENT ON COLUMN ffs_stat_cache.result_bypassed IS 'calls of ffs_cached whose query cannot be cached, or not in such a transaction';
COMMENT ON COLUMN ffs_stat_cache.result_fills IS 'results that were put in';
COMMENT ON COLUMN ffs_stat_cache.result_refused IS 'results that were not put in: too long, or something of them was changing';
COMMENT ON COLUMN ffs_stat_cache.result_waits IS 'calls of ffs_cached that waited for another one which was running the same query';
COMMENT ON COLUMN ffs_stat_cache.result_hit_ratio IS 'result_hits among all calls of ffs_cached, 0 to 1';
COMMENT ON COLUMN ffs_stat_cache.used_bytes IS 'bytes of blocks that hold rows, of capacity_bytes';
COMMENT ON COLUMN ffs_stat_cache.shared_bytes IS 'shared memory that is reserved, all in all';
COMMENT ON COLUMN ffs_stat_cache.max_row_bytes IS 'the longest row that is put in';
REVOKE ALL ON ffs_stat_cache FROM PUBLIC;
GRANT SELECT ON ffs_stat_cache TO pg_monitor;

CREATE FUNCTION ffs_cache_invalidate(pattern text DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_cache_invalidate(text) IS
'takes the rows of managed tables whose name, or schema.name, is LIKE the pattern out of the cache (NULL: of all), of tables that the caller owns; how many there were. Never needed for what ffs_get gives, which is never stale. A warning where there is no cache';

CREATE FUNCTION ffs_cache_warm(relation regclass) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_cache_warm(regclass) IS
'reads a managed table into the cache, as far as there is room without taking other rows out; how many rows went in. Only the owner of the table may. Errors: not_managed, 42501, 22004; a warning where there is no cache';

CREATE FUNCTION ffs_cached(query text, ttl interval DEFAULT NULL) RETURNS SETOF jsonb
LANGUAGE c STABLE PARALLEL UNSAFE COST 100 ROWS 100 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_cached(text, interval) IS
'the rows of a query that only reads, each as a jsonb object, from the cache where it has them: always what the query itself would give. ttl: how long a result is kept (NULL: ffstorage.cache_ttl). Kept are results of queries over managed tables made of immutable or listed functions; of others a NOTICE says why not. Errors: those of the query, 0A000 (it does not only read), 22004, 22023';
CREATE FUNCTION ffs_cached(query text, ttl interval, VARIADIC params "any") RETURNS SETOF jsonb
LANGUAGE c STABLE PARALLEL UNSAFE COST 100 ROWS 100 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_cached(text, interval, "any") IS
'the same of a query with parameters: $1 is the first value after ttl, and so on; values without a type take that which the query wants. Errors: the same, and 42P02 (there is no such parameter)';
