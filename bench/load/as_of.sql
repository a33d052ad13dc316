-- A row as it was, up to an hour ago.
\set t random_zipfian(1, :tenants, 1.07) - 1
\set id :t * :rows + random(1, :rows)
\set ago random(0, 3600)
BEGIN;
SELECT ffs_set_tenant('t' || :t);
SELECT * FROM contracts_as_of(now() - make_interval(secs => :ago)) WHERE id = :id;
COMMIT;
