-- Figures beyond counts: the window over 5 minutes, tenants, errors by SQLSTATE,
-- slow operations.  Without preload (figures_1.out) there are none, and no errors.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS ffstorage;
SELECT ffs_stats_reset();
RESET client_min_messages;
\set VERBOSITY terse
CREATE FUNCTION preloaded() RETURNS boolean LANGUAGE sql AS
$$SELECT current_setting('shared_preload_libraries') LIKE '%ffstorage%'$$;

CREATE TABLE figured (id integer PRIMARY KEY, tenant_id text NOT NULL, n integer CHECK (n < 1000));
SELECT ffs_manage('figured', strategy => 'scd2', tenant_column => 'tenant_id');

-- since when, and why
SELECT reason, since BETWEEN now() - interval '1 minute' AND clock_timestamp() AS lately FROM ffs_stats_since;

-- ---- tenants ----
BEGIN;
SELECT ffs_set_tenant('a');
INSERT INTO figured (id, n) SELECT g, g FROM generate_series(1, 10) g;
UPDATE figured SET n = n + 1 WHERE id <= 3;
SELECT count(*) FROM ffs_get(NULL::figured, 1);
COMMIT;
BEGIN;
SELECT ffs_set_tenant('b');
-- one call, with the INSERT inside
SELECT ffs_create('figured', '{"id": 20, "n": 1}')->>'tenant_id' AS tenant;
SELECT count(*) FROM ffs_create_many('figured', '[{"id": 21}, {"id": 22}]');
SELECT ffs_delete('figured', 21);
SAVEPOINT a;
INSERT INTO figured (id, n) VALUES (23, 23);
ROLLBACK TO a;
SAVEPOINT a;
INSERT INTO figured (id, n) VALUES (20, 20);
ROLLBACK TO a;
SELECT ffs_create('figured', '{"id": 20, "n": 1}');
ROLLBACK TO a;
COMMIT;
-- rolled back: only what failed counts
BEGIN;
SELECT ffs_set_tenant('c');
INSERT INTO figured (id) VALUES (30);
UPDATE figured SET n = 2000;
COMMIT;
BEGIN;
SELECT ffs_set_tenants('{a,b}');
INSERT INTO figured (id, tenant_id) VALUES (40, 'a');
COMMIT;
BEGIN;
SELECT ffs_set_all_tenants();
UPDATE figured SET n = 7;
COMMIT;
-- none set
UPDATE figured SET n = 8 WHERE id = 1;
SELECT tenant, kind, calls, rows, errors, writes, total_ms > 0 AS took, last_at <= now() AS at FROM ffs_stat_tenants ORDER BY tenant;
-- a long name is cut
BEGIN;
SELECT ffs_set_tenant(repeat('ü', 50));
INSERT INTO figured (id) VALUES (50);
COMMIT;
SELECT tenant, octet_length(tenant) < 64 AS fits, calls FROM ffs_stat_tenants WHERE tenant LIKE repeat('ü', 20) || '%';
BEGIN;
SELECT ffs_set_tenant('(all)');
INSERT INTO figured (id) VALUES (51);
COMMIT;
SELECT tenant, kind, calls FROM ffs_stat_tenants WHERE tenant = '(all)' ORDER BY kind;

-- ---- errors ----
INSERT INTO figured VALUES (60, 'a', 2000);
INSERT INTO figured VALUES (1, 'a', 2);
INSERT INTO figured VALUES (61, NULL, 2);
DO $$
BEGIN
    FOR i IN 1 .. 3 LOOP
        BEGIN
            RAISE NOTICE USING MESSAGE = 'not an error', ERRCODE = '42P07';
            INSERT INTO figured VALUES (1, 'a', i);
        EXCEPTION WHEN unique_violation THEN
            RAISE WARNING 'caught';
        END;
    END LOOP;
END $$;
BEGIN;
SELECT ffs_set_tenant('a');
INSERT INTO figured (id, tenant_id) VALUES (62, 'b');
ROLLBACK;
SET statement_timeout = 20;
INSERT INTO figured SELECT 63, 'a', 1 FROM pg_sleep(10);
RESET statement_timeout;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = 'no';
END $$;
CREATE TRIGGER fail BEFORE DELETE ON figured FOR EACH ROW WHEN (old.id = 60 OR old.id = 1) EXECUTE FUNCTION fail('U0001');
DELETE FROM figured WHERE id = 1;
SELECT sqlstate, condition, calls, last_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS lately, relation
FROM ffs_stat_errors ORDER BY sqlstate;
SELECT (SELECT sum(calls) FROM ffs_stat_errors) IS NOT DISTINCT FROM (SELECT sum(errors) FROM ffs_stat_operations) AS same;

-- ---- the window ----
SELECT operation, calls = calls_5m AND rows = rows_5m AND errors = errors_5m AND total_ms = total_ms_5m
       AND (min_ms, max_ms, p50_ms, p95_ms, p99_ms) IS NOT DISTINCT FROM (min_ms_5m, max_ms_5m, p50_ms_5m, p95_ms_5m, p99_ms_5m) AS same,
       stats_reset = (SELECT since FROM ffs_stats_since) AS since
FROM ffs_stat_operations WHERE relation = 'figured'::regclass ORDER BY operation;

-- ---- slow operations ----
SELECT count(*) FROM ffs_slow_operations;
SET ffstorage.slow_operation = 0;
SET compute_query_id = on;
SET application_name = 'figures test';
BEGIN;
SELECT ffs_set_tenant('a');
SELECT ffs_set_actor('ana@acme.io');
SET LOCAL ffstorage.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
UPDATE figured SET n = 5 WHERE id IN (2, 3);
COMMIT;
BEGIN;
SELECT ffs_set_tenant('a');
SET LOCAL ffstorage.actor = 'bob';
SET LOCAL ffstorage.traceparent = '00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
UPDATE figured SET n = 5000 WHERE id = 2;
ROLLBACK;
SET ffstorage.slow_operation = -1;
UPDATE figured SET n = 6 WHERE id = 2;
RESET ffstorage.slow_operation;
RESET compute_query_id;
SELECT relation, operation, rows, tenant, actor, traceparent, role = session_user AS me, application_name,
       pid = pg_backend_pid() AS mine, query_id <> 0 AS query, sqlstate,
       duration_ms > 0 AND at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS timed
FROM ffs_slow_operations;
-- at its threshold, and not below
SET ffstorage.slow_operation = '50ms';
UPDATE figured SET n = 6 WHERE id = 2 AND pg_sleep(0.06) IS NOT NULL;
UPDATE figured SET n = 7 WHERE id = 2;
RESET ffstorage.slow_operation;
SELECT operation, duration_ms >= 50 AS slow FROM ffs_slow_operations LIMIT 1;
SELECT count(*) = CASE WHEN preloaded() THEN 3 ELSE 0 END AS right FROM ffs_slow_operations;

-- ---- percentiles, against the durations themselves ----
SET client_min_messages = error;
SELECT ffs_stats_reset();
RESET client_min_messages;
SET ffstorage.slow_operation = 0;
DO $$
BEGIN
    FOR i IN 1 .. 190 LOOP
        UPDATE figured SET n = i WHERE id = 2;
    END LOOP;
END $$;
RESET ffstorage.slow_operation;
SELECT count(*) = CASE WHEN preloaded() THEN 190 ELSE 0 END AS n,
       bool_and(abs(p50_ms / e.p50 - 1) < 0.05 AND abs(p95_ms / e.p95 - 1) < 0.05 AND abs(p99_ms / e.p99 - 1) < 0.05) AS all_time,
       bool_and(abs(p50_ms_5m / e.p50 - 1) < 0.05 AND abs(p95_ms_5m / e.p95 - 1) < 0.05 AND abs(p99_ms_5m / e.p99 - 1) < 0.05) AS window,
       bool_and(abs(total_ms / e.total - 1) < 1e-9 AND min_ms = e.min AND max_ms = e.max) AS sums
FROM ffs_slow_operations,
     LATERAL (SELECT * FROM ffs_stat_operations WHERE operation = 'update') o,
     LATERAL (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms) AS p50,
                     percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95,
                     percentile_disc(0.99) WITHIN GROUP (ORDER BY duration_ms) AS p99,
                     sum(duration_ms) AS total, min(duration_ms) AS min, max(duration_ms) AS max FROM ffs_slow_operations) e;

-- ---- as Prometheus has them ----
BEGIN;
SELECT ffs_set_tenant('a');
UPDATE figured SET n = 1 WHERE id = 3;
COMMIT;
UPDATE figured SET n = 5000 WHERE id = 3;
SELECT DISTINCT name, type FROM ffs_metrics
WHERE name LIKE ANY ('{ffstorage\_operation%,ffstorage\_error%,ffstorage\_tenant%,ffstorage\_info,ffstorage\_managed%,ffstorage\_history%,ffstorage\_health%,ffstorage\_connections}') ORDER BY name;
SELECT name, labels - 'database' AS labels, value FROM ffs_metrics
WHERE name IN ('ffstorage_operation_calls_total', 'ffstorage_operation_errors_total', 'ffstorage_errors_total') ORDER BY name, labels;
-- names and labels are what Prometheus accepts, and each sample is there once
SELECT count(*) AS bad FROM ffs_metrics, LATERAL jsonb_object_keys(labels) l
WHERE name !~ '^ffstorage_[a-z0-9_]+$' OR l !~ '^[a-z_]+$' OR type NOT IN ('counter', 'gauge', 'histogram') OR help !~ '\.$'
   OR type = 'counter' AND name !~ '_total$' OR value IS NULL;
SELECT name, labels FROM ffs_metrics GROUP BY 1, 2 HAVING count(*) > 1;
-- buckets only grow, up to the count
SELECT bool_and(value >= before IS NOT FALSE) AS grows, bool_and(value = n) FILTER (WHERE le = 'Infinity') AS whole, count(*) FILTER (WHERE le = 'Infinity') AS infinite
FROM (SELECT (labels->>'le')::float8 AS le, value, lag(value) OVER (PARTITION BY labels - 'le' ORDER BY (labels->>'le')::float8) AS before,
             (SELECT c.value FROM ffs_metrics c WHERE c.name = 'ffstorage_operation_duration_seconds_count' AND c.labels = b.labels - 'le') AS n
      FROM ffs_metrics b WHERE name = 'ffstorage_operation_duration_seconds_bucket') x;
-- tenants only when asked for
SET ffstorage.metrics_tenants = on;
SELECT name, labels - 'database' AS labels FROM ffs_metrics WHERE labels ? 'tenant' ORDER BY name;
RESET ffstorage.metrics_tenants;
-- hostile names
CREATE SCHEMA "a\b";
CREATE TABLE "a\b"."x""<>&
y" (id integer PRIMARY KEY);
SELECT ffs_manage('"a\b"."x""<>&
y"');
INSERT INTO "a\b"."x""<>&
y" VALUES (1);
SELECT line FROM regexp_split_to_table(ffs_metrics_text(), '\n') line WHERE line LIKE '%operation_rows_total%' ORDER BY line;
SELECT line FROM regexp_split_to_table(ffs_metrics_text(), '\n') line
WHERE line <> '' AND line !~ '^# (HELP [a-z_0-9]+ .*\.|TYPE [a-z_0-9]+ (counter|gauge|histogram))$'
  AND line !~ '^[a-z_0-9]+\{([a-z_]+="([^"\\]|\\["n\\])*",?)*\} [-+0-9.eE]+$';
SELECT component, metric, value, unit FROM ffs_stats WHERE component = 'errors';

-- ---- the page ----
SET application_name = '<img src=x onerror="alert(1)">';
SET ffstorage.slow_operation = 0;
BEGIN;
SELECT ffs_set_tenant('<b>''&');
SET LOCAL ffstorage.actor = '"><script>alert(1)</script>';
UPDATE figured SET n = 1 WHERE id = 0;
COMMIT;
RESET ffstorage.slow_operation;
CREATE TABLE page AS SELECT ffs_report() AS html;
SELECT html LIKE '<!DOCTYPE html>%</html>_' AS whole,
       html ~ '<script|<img|<b>''|onerror="|src="|href=|url\(|@import' AS open,
       html LIKE '%&lt;img src=x onerror=&quot;alert(1)&quot;&gt;%' = preloaded() AS application,
       html LIKE '%&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;%' = preloaded() AS actor,
       html LIKE '%<td class="w">&lt;b&gt;&#39;&amp;</td>%' = preloaded() AS tenant
FROM page;
-- every element is closed that HTML does not leave open
SELECT tag, count(*) FILTER (WHERE slash = '') = count(*) FILTER (WHERE slash = '/') AS closed
FROM page, LATERAL regexp_matches(html, '<(/?)([a-z0-9]+)[^>]*>', 'g') m, LATERAL (VALUES (m[1], m[2])) x(slash, tag)
WHERE tag NOT IN ('meta', 'rect', 'line') GROUP BY tag HAVING count(*) FILTER (WHERE slash = '') <> count(*) FILTER (WHERE slash = '/');
SELECT count(*) AS sections FROM page, LATERAL regexp_matches(html, '<section>', 'g');
DROP TABLE page;
RESET application_name;

-- ---- who may look ----
CREATE ROLE regress_figures_watcher IN ROLE pg_monitor;
CREATE ROLE regress_figures_nobody;
SET ROLE regress_figures_watcher;
SELECT (SELECT count(*) FROM ffs_stat_tenants) >= 0 AND (SELECT count(*) FROM ffs_stat_errors) >= 0
   AND (SELECT count(*) FROM ffs_slow_operations) >= 0 AND (SELECT count(*) FROM ffs_stats_since) >= 0
   AND (SELECT count(*) FROM ffs_metrics) > 0 AND ffs_metrics_text() IS NOT NULL
   AND ffs_report() IS NOT NULL AS ok;
SET ffstorage.slow_operation = 0;
SET ROLE regress_figures_nobody;
SELECT count(*) FROM ffs_stat_tenants;
SELECT count(*) FROM ffs_stat_errors;
SELECT count(*) FROM ffs_slow_operations;
SELECT count(*) FROM ffs_stats_since;
SELECT count(*) FROM ffs_metrics;
SELECT ffs_metrics_text();
SELECT ffs_report();
SELECT count(*) FROM ffstorage.metrics();
SELECT count(*) FROM ffstorage.figures();
SELECT count(*) FROM ffstorage.stat_tenants();
SELECT count(*) FROM ffstorage.stat_errors();
SELECT count(*) FROM ffstorage.slow_operations();
SELECT count(*) FROM ffstorage.stat_since();
RESET ROLE;
DROP ROLE regress_figures_watcher, regress_figures_nobody;

-- all of it goes with a reset
SET client_min_messages = error;
SELECT ffs_stats_reset();
SELECT count(*) FROM ffs_stat_tenants;
SELECT count(*) FROM ffs_stat_errors;
SELECT count(*) FROM ffs_slow_operations;
SELECT ffs_unmanage_all();
DROP SCHEMA "a\b" CASCADE;
DROP TABLE figured CASCADE;
DROP FUNCTION fail(), preloaded();
DROP EXTENSION ffstorage;
