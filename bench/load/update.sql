-- One row of each table changes: a version of one, an audit entry of the other.
\set t random_zipfian(1, :tenants, 1.07) - 1
\set id :t * :rows + random(1, :rows)
BEGIN;
SELECT ffs_set_tenant('t' || :t);
SELECT ffs_set_actor('load');
UPDATE contracts SET value = value + 1 WHERE id = :id;
UPDATE invoices SET value = value + 1, status = 'paid' WHERE id = :id;
COMMIT;
