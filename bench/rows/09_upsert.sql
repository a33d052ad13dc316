-- @row ffs_create_records with half the keys present, on_conflict update
-- @per :half row
-- @target ffs_create_records <= 1.1
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t');
-- @fill
SELECT bench_fill(:rows, :tenants);
CREATE TABLE incoming AS
    SELECT *, (row_number() OVER (ORDER BY md5(id::text)) - 1) / :batch AS batch
    FROM bench_rows(:rows - :half / 2 + 1, :rows + :half / 2, :tenants);
-- @check
SELECT count(*) = :half FROM t JOIN incoming i USING (id, note, value)
-- @after
-- The rows that were there get other values again: each run has as much to change.
SELECT bench_remove(:rows + 1, :rows + :half / 2);
SET session_replication_role = replica;
UPDATE t SET value = t.value + 1, note = t.note || '.' FROM incoming i WHERE t.id = i.id;
RESET session_replication_role;

-- @case INSERT … SELECT … ON CONFLICT from a table
-- @run
INSERT INTO t (id, tenant_id, customer, status, value, due, note)
SELECT id, tenant_id, customer, status, value, due, note FROM incoming ORDER BY batch
ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id, customer = excluded.customer, status = excluded.status,
    value = excluded.value, due = excluded.due, note = excluded.note;

-- @case temporary table + COPY
-- @session
CREATE TEMPORARY TABLE taken_in (LIKE t);
-- @data
COPY (SELECT id, tenant_id, customer, status, value, due, note FROM incoming ORDER BY batch) TO STDOUT
-- @copy
COPY taken_in (id, tenant_id, customer, status, value, due, note) FROM STDIN
-- @run
INSERT INTO t (id, tenant_id, customer, status, value, due, note)
SELECT id, tenant_id, customer, status, value, due, note FROM taken_in
ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id, customer = excluded.customer, status = excluded.status,
    value = excluded.value, due = excluded.due, note = excluded.note;
TRUNCATE taken_in;

-- @case unnest(rows) … ON CONFLICT
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note, NULL, NULL, NULL, NULL)::t) FROM incoming GROUP BY batch ORDER BY batch
-- @each
INSERT INTO t SELECT * FROM unnest($1)
ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id, customer = excluded.customer, status = excluded.status,
    value = excluded.value, due = excluded.due, note = excluded.note

-- @case ffs_create_records
-- @needs function ffs_create_records
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note, NULL, NULL, NULL, NULL)::t) FROM incoming GROUP BY batch ORDER BY batch
-- @each
SELECT * FROM ffs_create_records($1, on_conflict => 'update', on_error => 'report', batch_size => :batch)

-- @case ffs_create_many
-- @params
SELECT jsonb_agg(to_jsonb(i) - 'batch') FROM incoming i GROUP BY batch ORDER BY batch
-- @each
SELECT * FROM ffs_create_many('t', $1, on_conflict => 'update', on_error => 'report', batch_size => :batch)
