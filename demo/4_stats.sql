\pset footer off
\timing on
\echo
\echo '--- 6. The figures: SELECT * FROM ffs_stats'
SELECT component, relation, metric, value, unit, status FROM ffs_stats WHERE value IS NOT NULL OR status <> 'healthy';
\timing off
