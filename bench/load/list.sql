-- A page of a tenant's list.
\set t random_zipfian(1, :tenants, 1.07) - 1
BEGIN;
SELECT ffs_set_tenant('t' || :t);
SELECT * FROM ffs_list(NULL::contracts, '{"status": "open"}', 'due DESC, id', 50);
COMMIT;
