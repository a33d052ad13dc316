-- A hundred new rows in one call.
\set t random_zipfian(1, :tenants, 1.07) - 1
BEGIN;
SELECT ffs_set_tenant('t' || :t);
SELECT count(*) FROM ffs_create_many('contracts', (SELECT jsonb_agg(jsonb_build_object('customer', 'new ' || n, 'value', n, 'due', now())) FROM generate_series(1, 100) n));
COMMIT;
