-- Figures, health and errors: what the views show and to whom.  What depends
-- on preload differs between stats.out (preloaded) and stats_1.out (not).
CREATE EXTENSION ffstorage;
SELECT ffs_stats_reset();

-- one line per error, each with its meaning and remedy
SELECT count(*) > 20 AS many FROM ffs_errors;
SELECT sqlstate, condition FROM ffs_errors WHERE condition IN ('tenant_violation', 'version_conflict') ORDER BY sqlstate;
SELECT count(*) AS incomplete FROM ffs_errors
WHERE meaning !~ '\.$' OR remedy !~ '\.$' OR sqlstate !~ '^ZF[0-9]{3}$' OR condition !~ '^[a-z_]+$';
SELECT count(*) - count(DISTINCT sqlstate) AS same_sqlstate, count(*) - count(DISTINCT condition) AS same_condition FROM ffs_errors;

-- health: every check answers, in the words that it may use
SELECT check_name, status, hint FROM ffs_health
WHERE check_name IN ('preload', 'counters', 'version', 'tenant_violations', 'prepared_transactions') ORDER BY check_name;
SELECT count(*) > 0 AS some, bool_and(duration_ms >= 0) AS timed,
       bool_and(status IN ('healthy', 'degraded', 'unhealthy', 'off')) AS known,
       bool_and(hint IS NOT NULL) FILTER (WHERE status <> 'healthy') IS NOT FALSE AS hinted,
       bool_or(message = 'the check itself failed') AS failed
FROM ffs_health;
SELECT ffs_health_status() IN ('healthy', 'degraded') AS up;

-- a library of another version is unhealthy
BEGIN;
UPDATE pg_catalog.pg_extension SET extversion = '0.1' WHERE extname = 'ffstorage';
SELECT status, message, hint FROM ffs_health WHERE check_name = 'version';
SELECT ffs_health_status();
ROLLBACK;

-- a check that fails is one unhealthy line, and the others go on
BEGIN;
ALTER FUNCTION pg_catalog.pg_prepared_xact() RENAME TO ffs_stats_gone;
SELECT check_name, status, message, details FROM ffs_health WHERE status = 'unhealthy';
SELECT count(*) > 5 AS others FROM ffs_health WHERE status <> 'unhealthy';
ROLLBACK;

-- within a read-only transaction too
BEGIN TRANSACTION READ ONLY ISOLATION LEVEL SERIALIZABLE;
SELECT ffs_health_status() IN ('healthy', 'degraded') AS up;
COMMIT;

-- the page: figures and health side by side
SELECT component, metric, unit, value > 0 AS positive FROM ffs_stats
WHERE component = 'connections' AND metric IN ('used', 'max', 'superuser_reserved') ORDER BY metric;
SELECT component, relation, metric, value, unit, status FROM ffs_stats WHERE component = 'health' AND metric = 'preload';
SELECT metric, value, unit FROM ffs_stats WHERE component = 'tables' AND relation IS NULL;
SELECT count(*) AS malformed FROM ffs_stats WHERE component IS NULL OR metric IS NULL OR unit IS NULL;

-- limits of databases and roles
CREATE ROLE ffs_stats_limited CONNECTION LIMIT 7;
SELECT metric, value FROM ffs_stats WHERE metric = 'limit_of_role.ffs_stats_limited';
DROP ROLE ffs_stats_limited;

-- who may look
CREATE ROLE ffs_stats_watcher IN ROLE pg_monitor;
CREATE ROLE ffs_stats_nobody;
SET ROLE ffs_stats_watcher;
SELECT count(*) > 0 AS ok FROM ffs_stats;
SELECT count(*) > 0 AS ok FROM ffs_health;
SELECT count(*) >= 0 AS ok FROM ffs_stat_operations;
SELECT ffs_stats_reset();
SET ffstorage.track = off;
SET ROLE ffs_stats_nobody;
SELECT count(*) FROM ffs_stats;
SELECT count(*) FROM ffs_health;
SELECT count(*) FROM ffs_stat_operations;
SELECT count(*) FROM ffstorage.stat_operations();
SELECT count(*) FROM ffstorage.health_results();
SELECT count(*) > 0 AS ok FROM ffs_errors;
SELECT ffs_health_status() IN ('healthy', 'degraded') AS ok;
RESET ROLE;
DROP ROLE ffs_stats_watcher, ffs_stats_nobody;

-- collection can be turned off
SET ffstorage.track = off;
SELECT status, hint FROM ffs_health WHERE check_name = 'counters';
RESET ffstorage.track;
SET ffstorage.max_tables = 50;
SELECT ffs_stats_reset();

-- away and back again
DROP EXTENSION ffstorage;
CREATE EXTENSION ffstorage;
SELECT count(*) > 0 AS ok FROM ffs_stats;
DROP EXTENSION ffstorage;
