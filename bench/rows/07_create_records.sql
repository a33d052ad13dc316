-- @row ffs_create_records, row arrays sent in binary, batches of 1,000
-- @per :half row
-- @target ffs_create_records <= 1.15
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

-- @case COPY text
-- @data
COPY (SELECT * FROM bench_rows(:new_first, :new_last, :tenants)) TO STDOUT
-- @copy
COPY t (id, tenant_id, customer, status, value, due, note) FROM STDIN

-- @case COPY text, unmanaged
-- @manage
-- @data
COPY (SELECT * FROM bench_rows(:new_first, :new_last, :tenants)) TO STDOUT
-- @copy
COPY t (id, tenant_id, customer, status, value, due, note) FROM STDIN

-- @case COPY binary
-- @data
COPY (SELECT * FROM bench_rows(:new_first, :new_last, :tenants)) TO STDOUT (FORMAT binary)
-- @copy
COPY t (id, tenant_id, customer, status, value, due, note) FROM STDIN (FORMAT binary)

-- @case INSERT … SELECT unnest(rows)
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note, NULL, NULL, NULL, NULL)::t)
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY batch ORDER BY batch
-- @each
INSERT INTO t SELECT * FROM unnest($1)

-- @case INSERT … SELECT unnest(columns)
-- @params
SELECT array_agg(id), array_agg(tenant_id), array_agg(customer), array_agg(status), array_agg(value), array_agg(due), array_agg(note)
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY batch ORDER BY batch
-- @each
INSERT INTO t (id, tenant_id, customer, status, value, due, note) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)

-- @case INSERT … VALUES (), ()
-- @statements
SELECT 'INSERT INTO t (id, tenant_id, customer, status, value, due, note) VALUES '
       || string_agg(format('(%L, %L, %L, %L, %s, %L, %L)', id, tenant_id, customer, status, value, due, note), ', ')
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY batch ORDER BY batch
-- @texts

-- @case ffs_create_records
-- @needs function ffs_create_records
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note, NULL, NULL, NULL, NULL)::t)
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY batch ORDER BY batch
-- @each
SELECT * FROM ffs_create_records($1, on_error => 'report', batch_size => :batch)

-- @case ffs_create_records, abort
-- @needs function ffs_create_records
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note, NULL, NULL, NULL, NULL)::t)
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY batch ORDER BY batch
-- @each
SELECT * FROM ffs_create_records($1, batch_size => :batch)

-- @case ffs_create_records, rejected rows asked for only
-- @needs function ffs_create_records
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note, NULL, NULL, NULL, NULL)::t)
FROM (SELECT *, (row_number() OVER () - 1) / :batch AS batch FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY batch ORDER BY batch
-- @each
SELECT * FROM ffs_create_records($1, on_error => 'report', batch_size => :batch) WHERE action = 'rejected'
