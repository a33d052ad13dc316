-- A row by key, from the cache; some tenants are asked for more than others.
\set t random_zipfian(1, :tenants, 1.07) - 1
\set id :t * :rows + random(1, :rows)
BEGIN;
SELECT ffs_set_tenant('t' || :t);
SELECT * FROM ffs_get(NULL::contracts, :id);
COMMIT;
