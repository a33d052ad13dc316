-- Variables: tenant, other (the second tenant).
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset footer off
SELECT loaded_at AS first_load, packages AS first_count FROM moments WHERE file = 'release' \gset

\echo
\echo '--- 1. What changed between the two moments (an update that changes nothing makes no version)'
BEGIN;
SELECT ffs_set_tenant(:'tenant') \g /dev/null
\timing on
SELECT (SELECT count(*) FROM packages_as_of(:'first_load')) AS packages_then,
       (SELECT count(*) FROM packages) AS packages_now,
       count(*) FILTER (WHERE version > 1) AS changed,
       count(*) FILTER (WHERE version = 1) AS new
  FROM packages WHERE valid_from > :'first_load';
SELECT package, before.package_version AS was, now.package_version AS is_now,
       now.installed_size - before.installed_size AS kilobytes_more
  FROM packages_history AS before JOIN packages AS now USING (distribution, package)
 WHERE before.valid_to > :'first_load' AND now.installed_size IS DISTINCT FROM before.installed_size
 ORDER BY now.installed_size - before.installed_size DESC NULLS LAST LIMIT 8;
\timing off
-- One in which much changed, for what follows.
SELECT package AS one
  FROM packages_history AS before JOIN packages AS now USING (distribution, package)
 WHERE before.package_version <> now.package_version
 ORDER BY (before.depends IS DISTINCT FROM now.depends)::integer + (before.installed_size IS DISTINCT FROM now.installed_size)::integer
          + (before.maintainer IS DISTINCT FROM now.maintainer)::integer + (before.description IS DISTINCT FROM now.description)::integer DESC,
          length(coalesce(before.depends, '') || coalesce(now.depends, '')), package LIMIT 1 \gset

\echo
\echo '--- 2. The life of one package,' :one '(ffs_history)'
\timing on
SELECT version, operation, valid_from, changed_by, metadata, jsonb_pretty(changes) AS changes
  FROM ffs_history('packages', :'tenant', :'one') \gx
\timing off

\echo
\echo '--- 3. As of the first load: as many as were loaded, and that package as it was (packages_as_of)'
\timing on
SELECT count(*) AS as_of_first_load, :first_count AS loaded_then, count(*) = :first_count AS equal
  FROM packages_as_of(:'first_load');
SELECT package, package_version, version FROM packages_as_of(:'first_load') WHERE package = :'one';
\timing off
COMMIT;

\echo
\echo '--- 4. The other tenant sees its own packages, and nothing of the first one''s'
BEGIN;
SELECT ffs_set_tenant(:'other') \g /dev/null
\timing on
SELECT ffs_tenant() AS we_are, count(*) AS packages, count(*) FILTER (WHERE distribution <> :'other') AS of_others
  FROM packages;
\timing off
UPDATE packages SET section = 'taken over' WHERE distribution = :'tenant';
\echo 'An UPDATE of the first one''s packages changes' :ROW_COUNT 'rows.'
COMMIT;

\echo
\echo '--- 5. It cannot write for the first one, either; and without a tenant there is nothing to see'
BEGIN;
SELECT ffs_set_tenant(:'other') \g /dev/null
INSERT INTO packages (distribution, package, package_version) VALUES (:'tenant', 'trojan', '1.0');
\echo 'SQLSTATE: ' :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT count(*) AS without_a_tenant FROM packages;
