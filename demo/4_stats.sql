\pset footer off
\echo
\echo '--- 6. The figures (ffs_stats): what ran, how fast, and whether all is well'
\timing on
SELECT component, relation, metric, round(value::numeric, 2) AS value, unit, status
  FROM ffs_stats WHERE value > 0 OR status <> 'healthy';
