-- A row is deleted, and a moment later brought back.
\set t random_zipfian(1, :tenants, 1.07) - 1
\set id :t * :rows + random(1, :rows)
BEGIN;
SELECT ffs_set_tenant('t' || :t);
SELECT ffs_delete('contracts', :id);
COMMIT;
BEGIN;
SELECT ffs_set_tenant('t' || :t);
SELECT ffs_restore('contracts', :id);
COMMIT;
