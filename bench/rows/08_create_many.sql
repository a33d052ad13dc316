-- @row ffs_create_many, jsonb, batches of 1,000
-- @per :half row
-- @target ffs_create_many <= 1.7
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t');
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @check
SELECT count(*) = :new_last FROM t
-- @after
SELECT bench_remove(:new_first, :new_last);
-- @params
SELECT jsonb_agg(to_jsonb(r) - 'batch')
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY batch ORDER BY batch

-- @case COPY text
-- @params
-- @data
COPY (SELECT * FROM bench_rows(:new_first, :new_last, :tenants)) TO STDOUT
-- @copy
COPY t (id, tenant_id, customer, status, value, due, note) FROM STDIN

-- @case jsonb_to_recordset
-- @each
INSERT INTO t (id, tenant_id, customer, status, value, due, note)
SELECT * FROM jsonb_to_recordset($1) AS r (id uuid, tenant_id uuid, customer text, status text, value numeric, due timestamptz, note text)

-- @case jsonb_populate_recordset
-- @each
INSERT INTO t (id, tenant_id, customer, status, value, due, note)
SELECT id, tenant_id, customer, status, value, due, note FROM jsonb_populate_recordset(NULL::t, $1)

-- @case ffs_create_many
-- @each
SELECT * FROM ffs_create_many('t', $1, on_error => 'report', batch_size => :batch)

-- @case ffs_create_many, abort
-- @each
SELECT * FROM ffs_create_many('t', $1, batch_size => :batch)
