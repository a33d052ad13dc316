/* ---- resilience: connections against their limits ---- */

CREATE VIEW ffs_connections AS
WITH activity AS (
    SELECT a.datid, a.usesysid, a.state
    FROM pg_catalog.pg_stat_get_activity(NULL) AS a
    WHERE a.backend_type = 'client backend'),
limits AS (
    SELECT pg_catalog.current_setting('max_connections')::integer AS max,
           pg_catalog.current_setting('superuser_reserved_connections')::integer
           + COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::integer AS reserved,
           pg_catalog.current_setting('ffstorage.health_connections', true)::integer AS degraded),
counted AS (
    SELECT 'server' AS scope, NULL::name AS name, (SELECT l.max FROM limits AS l) AS max, (SELECT l.reserved FROM limits AS l) AS reserved,
           pg_catalog.count(*)::integer AS used, pg_catalog.count(*) FILTER (WHERE a.state = 'active')::integer AS active,
           pg_catalog.count(*) FILTER (WHERE a.state = 'idle')::integer AS idle,
           pg_catalog.count(*) FILTER (WHERE a.state LIKE 'idle in transaction%')::integer AS idle_in_transaction
    FROM activity AS a
    UNION ALL
    SELECT 'database', d.datname, CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit END, 0,
           pg_catalog.count(a.datid)::integer, pg_catalog.count(*) FILTER (WHERE a.state = 'active')::integer,
           pg_catalog.count(*) FILTER (WHERE a.state = 'idle')::integer,
           pg_catalog.count(*) FILTER (WHERE a.state LIKE 'idle in transaction%')::integer
    FROM pg_catalog.pg_database AS d LEFT JOIN activity AS a ON a.datid = d.oid
    GROUP BY d.oid, d.datname, d.datconnlimit HAVING pg_catalog.count(a.datid) > 0 OR d.datconnlimit >= 0
    UNION ALL
    SELECT 'role', r.rolname, CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit END, 0,
           pg_catalog.count(a.usesysid)::integer, pg_catalog.count(*) FILTER (WHERE a.state = 'active')::integer,
           pg_catalog.count(*) FILTER (WHERE a.state = 'idle')::integer,
           pg_catalog.count(*) FILTER (WHERE a.state LIKE 'idle in transaction%')::integer
    FROM pg_catalog.pg_roles AS r LEFT JOIN activity AS a ON a.usesysid = r.oid
    GROUP BY r.oid, r.rolname, r.rolconnlimit, r.rolsuper HAVING pg_catalog.count(a.usesysid) > 0 OR (r.rolconnlimit >= 0 AND NOT r.rolsuper)),
left_over AS (
    SELECT c.*, l.degraded, c.max - c.reserved AS usable,
           GREATEST(0, LEAST(c.max - c.reserved - c.used,
                             l.max - l.reserved - (SELECT pg_catalog.count(*)::integer FROM activity AS a))) AS available
    FROM counted AS c, limits AS l)
SELECT o.scope, o.name, o.used, o.max, o.reserved, o.available,
       pg_catalog.round(100.0 * o.used / NULLIF(o.usable, 0), 1) AS percent_used,
       o.active, o.idle, o.idle_in_transaction,
       CASE WHEN o.max IS NULL OR o.degraded IS NULL OR o.usable <= 0 THEN NULL
            WHEN o.used * 100 >= o.usable * (o.degraded + (100 - o.degraded) * 3 / 4) THEN 'unhealthy'
            WHEN o.used * 100 >= o.usable * o.degraded THEN 'degraded'
            ELSE 'healthy' END AS status
FROM left_over AS o;
COMMENT ON VIEW ffs_connections IS
'client connections against their limits: of the server, of each database and role that has connections or a limit of its own';
COMMENT ON COLUMN ffs_connections.max IS 'max_connections, or the limit of the database or role; NULL where it has none that binds';
COMMENT ON COLUMN ffs_connections.reserved IS 'of the server, connections that only superusers and roles with pg_use_reserved_connections get';
COMMENT ON COLUMN ffs_connections.available IS 'connections that anybody else still gets, by this limit and the server''s';
COMMENT ON COLUMN ffs_connections.percent_used IS 'of those that are not reserved; NULL without a limit';
COMMENT ON COLUMN ffs_connections.status IS 'healthy, degraded from ffstorage.health_connections percent on, unhealthy when three quarters of the rest are used too; NULL without a limit';
REVOKE ALL ON ffs_connections FROM PUBLIC;
GRANT SELECT ON ffs_connections TO pg_monitor;
