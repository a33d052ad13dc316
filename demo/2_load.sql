-- Variables: file (its name in incoming), tenant, on_conflict.
-- One transaction, 5,000 packages a call.
BEGIN;
SELECT ffs_set_tenant(:'tenant') \g /dev/null
SELECT ffs_set_actor('index-loader', jsonb_build_object('file', :'file')) \g /dev/null

SELECT r.action, r.sqlstate, r.message, count(*) AS packages
  FROM (SELECT jsonb_agg(data ORDER BY line) AS rows
          FROM incoming WHERE file = :'file' GROUP BY line / 5000) AS batch,
       ffs_create_many('packages', batch.rows, on_conflict => :'on_conflict', on_error => 'report') AS r
 GROUP BY r.action, r.sqlstate, r.message;

INSERT INTO moments (file, packages) SELECT :'file', count(*) FROM packages;
COMMIT;
