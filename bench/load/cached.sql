-- A tenant's figures, from the cache until one of its rows changes.
\set t random_zipfian(1, :tenants, 1.07) - 1
BEGIN;
SELECT ffs_set_tenant('t' || :t);
SELECT * FROM ffs_cached('SELECT status, count(*), sum(value) FROM contracts GROUP BY status ORDER BY status');
COMMIT;
