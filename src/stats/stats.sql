/* ---- stats: figures, health, errors ---- */

CREATE FUNCTION ffstorage.stat_operations(
    OUT relid oid, OUT operation text,
    OUT calls bigint, OUT rows bigint, OUT errors bigint, OUT total_ms double precision, OUT mean_ms double precision,
    OUT min_ms double precision, OUT max_ms double precision,
    OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision,
    OUT calls_5m bigint, OUT rows_5m bigint, OUT errors_5m bigint, OUT total_ms_5m double precision, OUT mean_ms_5m double precision,
    OUT min_ms_5m double precision, OUT max_ms_5m double precision,
    OUT p50_ms_5m double precision, OUT p95_ms_5m double precision, OUT p99_ms_5m double precision)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION ffstorage.stat_operations() IS
'what the view ffs_stat_operations shows; no rows without shared memory';

CREATE FUNCTION ffstorage.stat_since(OUT since timestamptz, OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION ffstorage.stat_since() IS
'since when the figures of this database count, and what made them begin then: start (of the server, for the first time with ffstorage), crash (of the server) or reset (ffs_stats_reset); no row without shared memory';

CREATE FUNCTION ffstorage.stat_tenants(
    OUT tenant text, OUT kind text, OUT calls bigint, OUT rows bigint, OUT errors bigint, OUT total_ms double precision,
    OUT writes bigint, OUT last_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION ffstorage.stat_tenants() IS
'what the view ffs_stat_tenants shows; no rows without shared memory';

CREATE FUNCTION ffstorage.stat_errors(
    OUT sqlstate text, OUT condition text, OUT calls bigint, OUT last_at timestamptz, OUT relid oid)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 20;
COMMENT ON FUNCTION ffstorage.stat_errors() IS
'what the view ffs_stat_errors shows; no rows without shared memory';

CREATE FUNCTION ffstorage.slow_operations(
    OUT at timestamptz, OUT relid oid, OUT operation text, OUT duration_ms double precision, OUT rows bigint,
    OUT tenant text, OUT actor text, OUT traceparent text, OUT role oid, OUT application_name text, OUT pid integer,
    OUT query_id bigint, OUT sqlstate text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION ffstorage.slow_operations() IS
'what the view ffs_slow_operations shows; no rows without shared memory';

CREATE FUNCTION ffstorage.stat_violations(OUT relid oid, OUT violations bigint, OUT latest timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION ffstorage.stat_violations() IS
'tenant violations per table of this database, for tables that had any; no rows without shared memory';

CREATE FUNCTION ffstorage.stat_managed(OUT relid oid, OUT history_bytes bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION ffstorage.stat_managed() IS
'the managed tables, and the bytes of what stands beside each: NULL while another session has it locked';

CREATE FUNCTION ffstorage.relation_bytes(relation regclass)
RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ffstorage.relation_bytes(regclass) IS
'the bytes of a relation with its indexes, TOAST and partitions, without waiting: NULL while another session has it locked, and where it is gone';

CREATE FUNCTION ffstorage.health_results(
    OUT check_name text, OUT status text, OUT message text, OUT details text, OUT hint text, OUT duration_ms double precision)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 20;
COMMENT ON FUNCTION ffstorage.health_results() IS
'runs every health check and gives its results; what the view ffs_health shows';

CREATE FUNCTION ffstorage.progress(
    OUT pid integer, OUT database oid, OUT role oid, OUT relid oid, OUT operation text, OUT started_at timestamptz,
    OUT rows_done bigint, OUT rows_rejected bigint, OUT rows_total bigint, OUT batch bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION ffstorage.progress() IS
'the calls of many rows that run now, of the sessions whose figures the current user may see; what the view ffs_progress shows; no rows without shared memory';

CREATE FUNCTION ffstorage.error_table(OUT sqlstate text, OUT condition text, OUT meaning text, OUT remedy text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 30;
COMMENT ON FUNCTION ffstorage.error_table() IS
'the errors that only ffstorage knows; what the view ffs_errors shows';

CREATE FUNCTION ffstorage.figures(
    OUT component text, OUT metric text, OUT value double precision, OUT unit text, OUT kind text, OUT help text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 50;
COMMENT ON FUNCTION ffstorage.figures() IS
'what the cache, the breakers and their like count, for the view ffs_stats';

CREATE FUNCTION ffstorage.metrics(OUT name text, OUT type text, OUT help text, OUT labels jsonb, OUT value double precision)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION ffstorage.metrics() IS
'the figures in shared memory as samples, for the view ffs_metrics';

REVOKE ALL ON FUNCTION ffstorage.figures(), ffstorage.metrics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ffstorage.figures(), ffstorage.metrics() TO pg_monitor;

REVOKE ALL ON FUNCTION ffstorage.stat_operations(), ffstorage.stat_violations(), ffstorage.stat_managed(),
    ffstorage.stat_since(), ffstorage.stat_tenants(), ffstorage.stat_errors(), ffstorage.slow_operations(),
    ffstorage.health_results() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ffstorage.stat_operations(), ffstorage.stat_violations(), ffstorage.stat_managed(),
    ffstorage.stat_since(), ffstorage.stat_tenants(), ffstorage.stat_errors(), ffstorage.slow_operations(),
    ffstorage.health_results() TO pg_monitor;

CREATE FUNCTION ffs_health_status() RETURNS text
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ffs_health_status() IS
'runs every health check and gives the worst status in one word: healthy, degraded or unhealthy; what is off does not count. Anyone may call it';

CREATE FUNCTION ffs_stats_reset() RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION ffs_stats_reset() IS
'forgets the figures of this database; a warning where there are none because ffstorage is not preloaded. GRANT EXECUTE to roles that may';
REVOKE ALL ON FUNCTION ffs_stats_reset() FROM PUBLIC;

CREATE VIEW ffs_stat_operations AS
SELECT s.relid::pg_catalog.regclass AS relation, s.operation, s.calls, s.rows, s.errors,
       s.total_ms, s.mean_ms, s.min_ms, s.max_ms, s.p50_ms, s.p95_ms, s.p99_ms,
       s.calls_5m, s.rows_5m, s.errors_5m,
       s.total_ms_5m, s.mean_ms_5m, s.min_ms_5m, s.max_ms_5m, s.p50_ms_5m, s.p95_ms_5m, s.p99_ms_5m,
       b.since AS stats_reset
FROM ffstorage.stat_operations() AS s, ffstorage.stat_since() AS b;
COMMENT ON VIEW ffs_stat_operations IS
'per table and operation of this database, what committed transactions did: calls, rows, and milliseconds per call; and errors, whatever became of the transaction. Over all time since stats_reset, and, with _5m, over the last 5 minutes in steps of 30 seconds. Percentiles are exact to 5 percent';
COMMENT ON COLUMN ffs_stat_operations.calls IS 'statements for insert, update, delete and truncate; calls of the function for the others';
COMMENT ON COLUMN ffs_stat_operations.calls_5m IS 'committed in the last 5 minutes: in 9 whole steps of 30 seconds and the one that runs';
COMMENT ON COLUMN ffs_stat_operations.stats_reset IS 'since when this database''s figures count';

CREATE VIEW ffs_stats_since AS
SELECT b.since, b.reason FROM ffstorage.stat_since() AS b;
COMMENT ON VIEW ffs_stats_since IS
'since when the figures of this database count, and what made them begin then: start (of the server), crash (of the server) or reset (ffs_stats_reset). No row without preload';

CREATE VIEW ffs_stat_tenants AS
SELECT COALESCE(t.tenant, '(' || t.kind || ')') AS tenant, t.kind, t.calls, t.rows, t.errors, t.total_ms, t.writes, t.last_at,
       b.since AS stats_reset
FROM ffstorage.stat_tenants() AS t, ffstorage.stat_since() AS b;
COMMENT ON VIEW ffs_stat_tenants IS
'per tenant that transactions had set, what they did to managed tables. A call inside of another one (the INSERT of an ffs_create, a cascade) counts with that one, what it wrote in writes';
COMMENT ON COLUMN ffs_stat_tenants.tenant IS 'the tenant as it was set, cut with a hash from 64 bytes on; or (several), (all), (others)';
COMMENT ON COLUMN ffs_stat_tenants.kind IS 'tenant; several: of ffs_set_tenants(); all: of ffs_set_all_tenants(); others: the sum of those that there was no room for (ffstorage.max_tenants)';
COMMENT ON COLUMN ffs_stat_tenants.writes IS 'rows inserted, updated, deleted and truncated';
COMMENT ON COLUMN ffs_stat_tenants.last_at IS 'when the latest was counted, to 30 seconds';

CREATE VIEW ffs_stat_errors AS
SELECT e.sqlstate, e.condition, e.calls, e.last_at, e.relid::pg_catalog.regclass AS relation
FROM ffstorage.stat_errors() AS e;
COMMENT ON VIEW ffs_stat_errors IS
'errors that operations on managed tables ended with, per table and SQLSTATE: their calls add up to the errors of ffs_stat_operations. condition is its name in the server''s documentation, or in ffs_errors';

CREATE VIEW ffs_slow_operations AS
SELECT s.at, s.relid::pg_catalog.regclass AS relation, s.operation, s.duration_ms, s.rows, s.tenant, s.actor, s.traceparent,
       r.rolname AS role, s.application_name, s.pid, s.query_id, s.sqlstate
FROM ffstorage.slow_operations() AS s
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) s.role;
COMMENT ON VIEW ffs_slow_operations IS
'the latest operations on managed tables that took ffstorage.slow_operation or longer, newest first, whatever became of their transactions. at is the end; actor, traceparent and tenant are what the transaction had set; query_id where the server computes it; sqlstate where the operation failed';

CREATE VIEW ffs_health AS
SELECT h.check_name, h.status, h.message, h.details, h.hint, h.duration_ms
FROM ffstorage.health_results() AS h;
COMMENT ON VIEW ffs_health IS
'what each health check finds now; status is healthy, degraded, unhealthy, or off for what needs preload or a setting';

CREATE VIEW ffs_progress AS
SELECT p.pid, d.datname AS database, r.rolname AS role,
       CASE WHEN d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() THEN p.relid::pg_catalog.regclass END AS relation,
       p.operation, p.started_at, p.rows_done, p.rows_rejected, p.rows_total, p.batch
FROM ffstorage.progress() AS p
LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) p.database
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) p.role;
COMMENT ON VIEW ffs_progress IS
'the calls of many rows that run now: a role sees those of its own sessions, pg_read_all_stats (pg_monitor) all. rows_done of rows_total have been dealt with, rows_rejected of them rejected, in batch batches. relation is NULL for other databases. Empty without preload';
GRANT SELECT ON ffs_progress TO PUBLIC;

CREATE VIEW ffs_errors AS
SELECT e.sqlstate, e.condition, e.meaning, e.remedy
FROM ffstorage.error_table() AS e;
COMMENT ON VIEW ffs_errors IS 'the errors that only ffstorage knows (class ZF): what each means and what to do';

CREATE VIEW ffs_stats AS
SELECT 'operations'::text AS component, s.relid::pg_catalog.regclass AS relation,
       s.operation || '_' || m.metric AS metric, m.value, m.unit,
       NULL::text AS status, NULL::text AS hint
FROM ffstorage.stat_operations() AS s,
     LATERAL (VALUES ('calls', s.calls::double precision, 'calls'),
                     ('rows', s.rows::double precision, 'rows'),
                     ('errors', s.errors::double precision, 'errors'),
                     ('mean', s.mean_ms, 'ms'),
                     ('p95', s.p95_ms, 'ms'),
                     ('calls_5m', s.calls_5m::double precision, 'calls'),
                     ('errors_5m', s.errors_5m::double precision, 'errors'),
                     ('p95_5m', s.p95_ms_5m, 'ms')) AS m(metric, value, unit)
UNION ALL
SELECT 'errors', e.relid::pg_catalog.regclass, pg_catalog.concat_ws(' ', e.sqlstate, e.condition), e.calls::double precision, 'errors', NULL, NULL
FROM ffstorage.stat_errors() AS e
UNION ALL
SELECT 'tenants', NULL, 'counted', pg_catalog.count(*)::double precision, 'tenants', NULL, NULL
FROM ffstorage.stat_tenants() AS n
UNION ALL
SELECT 'slow', o.relid::pg_catalog.regclass, o.operation || '_latest', pg_catalog.max(o.duration_ms), 'ms', NULL, NULL
FROM ffstorage.slow_operations() AS o GROUP BY o.relid, o.operation
UNION ALL
SELECT f.component, NULL, f.metric, f.value, f.unit, NULL, NULL
FROM ffstorage.figures() AS f
UNION ALL
SELECT 'tenancy', v.relid::pg_catalog.regclass, 'violations', v.violations::double precision, 'violations', NULL, NULL
FROM ffstorage.stat_violations() AS v
UNION ALL
SELECT 'tables', NULL, 'managed', pg_catalog.count(*)::double precision, 'tables', NULL, NULL
FROM ffstorage.stat_managed() AS t
UNION ALL
SELECT 'tables', t.relid::pg_catalog.regclass, 'history_bytes', t.history_bytes::double precision, 'bytes', NULL, NULL
FROM ffstorage.stat_managed() AS t
UNION ALL
SELECT 'connections', NULL, c.metric, c.value::double precision, 'connections', NULL, NULL
FROM (SELECT 'used', pg_catalog.count(*)
      FROM pg_catalog.pg_stat_activity AS a WHERE a.backend_type = 'client backend'
      UNION ALL
      SELECT s.name, s.setting::bigint
      FROM (VALUES ('max', pg_catalog.current_setting('max_connections')),
                   ('superuser_reserved', pg_catalog.current_setting('superuser_reserved_connections'))) AS s(name, setting)
      UNION ALL
      SELECT 'used_in_database.' || a.datname::text, pg_catalog.count(*)
      FROM pg_catalog.pg_stat_activity AS a WHERE a.backend_type = 'client backend' AND a.datname IS NOT NULL GROUP BY a.datname
      UNION ALL
      SELECT 'limit_of_database.' || d.datname::text, d.datconnlimit::bigint
      FROM pg_catalog.pg_database AS d WHERE d.datconnlimit >= 0
      UNION ALL
      SELECT 'used_by_role.' || a.usename::text, pg_catalog.count(*)
      FROM pg_catalog.pg_stat_activity AS a WHERE a.backend_type = 'client backend' AND a.usename IS NOT NULL GROUP BY a.usename
      UNION ALL
      SELECT 'limit_of_role.' || r.rolname::text, r.rolconnlimit::bigint
      FROM pg_catalog.pg_roles AS r WHERE r.rolconnlimit >= 0) AS c(metric, value)
UNION ALL
SELECT 'health', NULL, h.check_name,
       CASE h.status WHEN 'healthy' THEN 0 WHEN 'degraded' THEN 1 WHEN 'unhealthy' THEN 2 END::double precision,
       'severity', h.status,
       CASE WHEN h.status <> 'healthy' THEN pg_catalog.concat_ws(' ', h.message || ':', h.details, h.hint) END
FROM ffstorage.health_results() AS h;
COMMENT ON VIEW ffs_stats IS
'figures and health on one page. Health rows have the severity 0 (healthy), 1 (degraded), 2 (unhealthy) or NULL (off) as value';
COMMENT ON COLUMN ffs_stats.status IS 'healthy, degraded, unhealthy, off, or NULL where there is nothing to judge';

CREATE VIEW ffs_metrics AS
SELECT m.name, m.type, m.help, m.labels || b.labels AS labels, m.value
FROM (SELECT m.name, m.type, m.help, m.labels, m.value
      FROM ffstorage.metrics() AS m
      UNION ALL
      SELECT 'ffstorage_managed_tables', 'gauge', 'Managed tables.', '{}'::jsonb, pg_catalog.count(*)::double precision
      FROM ffstorage.stat_managed() AS t
      UNION ALL
      SELECT 'ffstorage_history_bytes', 'gauge', 'Bytes of what stands beside a managed table.',
             pg_catalog.jsonb_build_object('relation', pg_catalog.format('%I.%I', n.nspname, c.relname)), t.history_bytes::double precision
      FROM ffstorage.stat_managed() AS t
      JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.relid
      JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
      WHERE t.history_bytes IS NOT NULL
      UNION ALL
      SELECT 'ffstorage_connections', 'gauge', 'Client connections.',
             pg_catalog.jsonb_build_object('state', COALESCE(a.state, 'unknown')), pg_catalog.count(*)::double precision
      FROM pg_catalog.pg_stat_activity AS a
      WHERE a.backend_type OPERATOR(pg_catalog.=) 'client backend' GROUP BY a.state
      UNION ALL
      SELECT 'ffstorage_connections_max', 'gauge', 'The setting max_connections.', '{}',
             pg_catalog.current_setting('max_connections')::double precision
      UNION ALL
      SELECT 'ffstorage_health_status', 'gauge', 'A health check''s worst result: 0 healthy, 1 degraded, 2 unhealthy.',
             pg_catalog.jsonb_build_object('check', h.check_name),
             pg_catalog.max(CASE h.status WHEN 'healthy' THEN 0 WHEN 'degraded' THEN 1 ELSE 2 END)::double precision
      FROM ffstorage.health_results() AS h WHERE h.status OPERATOR(pg_catalog.<>) 'off' GROUP BY h.check_name) AS m,
     (SELECT pg_catalog.jsonb_build_object('database', pg_catalog.current_database())) AS b(labels);
COMMENT ON VIEW ffs_metrics IS
'all figures and health as Prometheus has them, one row a sample: name, type (counter, gauge, histogram), help, labels, value, in base units. Tenants are left out unless ffstorage.metrics_tenants is on';

CREATE FUNCTION ffs_metrics_text() RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH samples AS MATERIALIZED (
        SELECT m.*, row_number() OVER () AS n,
               CASE WHEN m.type = 'histogram' THEN regexp_replace(m.name, '_(bucket|sum|count)$', '') ELSE m.name END AS family
        FROM ffs_metrics AS m),
    lines AS (
        SELECT s.family, s.type, s.help, s.n,
               s.name || COALESCE('{' || (
                   SELECT string_agg(l.key || '="' || replace(replace(replace(l.value, E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n') || '"', ',' ORDER BY l.key)
                   FROM jsonb_each_text(s.labels) AS l) || '}', '') || ' ' || s.value || E'\n' AS line
        FROM samples AS s),
    families AS (
        SELECT l.family, '# HELP ' || l.family || ' ' || min(l.help) || E'\n# TYPE ' || l.family || ' ' || min(l.type) || E'\n'
               || string_agg(l.line, '' ORDER BY l.n) AS block
        FROM lines AS l GROUP BY l.family)
    SELECT string_agg(f.block, '' ORDER BY f.family) FROM families AS f;
END;
COMMENT ON FUNCTION ffs_metrics_text() IS
'ffs_metrics in the text format that Prometheus scrapes. For roles that may SELECT ffs_metrics';
REVOKE ALL ON FUNCTION ffs_metrics_text() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ffs_metrics_text() TO pg_monitor;
REVOKE ALL ON ffs_metrics FROM PUBLIC;
GRANT SELECT ON ffs_metrics TO pg_monitor;

CREATE FUNCTION ffs_report() RETURNS text
AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION ffs_report() IS
'figures and health as one HTML page that needs nothing from elsewhere: save it with psql -XAtc "SELECT ffs_report()" > report.html. For roles that may SELECT ffs_stats';
REVOKE ALL ON FUNCTION ffs_report() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ffs_report() TO pg_monitor;

REVOKE ALL ON ffs_stats, ffs_stat_operations, ffs_stats_since, ffs_stat_tenants, ffs_stat_errors, ffs_slow_operations, ffs_health FROM PUBLIC;
GRANT SELECT ON ffs_stats, ffs_stat_operations, ffs_stats_since, ffs_stat_tenants, ffs_stat_errors, ffs_slow_operations, ffs_health TO pg_monitor;
GRANT SELECT ON ffs_errors TO PUBLIC;
