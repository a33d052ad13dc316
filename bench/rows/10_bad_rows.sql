-- @row ffs_create_records, on_error report, 1 row in 100 bad
-- @per :half row
-- @target records, 1 in 100 NULL <= 1.25
-- @target records, 1 in 100 key taken <= 1.25
-- @target jsonb, 1 in 100 no number <= 1.25 of jsonb, none bad
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t');
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @check
SELECT count(*) = :new_last - :half / 100 FROM t
-- @after
SELECT bench_remove(:new_first, :new_last);

-- @case records, none bad
-- @needs function ffs_create_records
-- @check
SELECT count(*) = :new_last FROM t
-- @params
SELECT array_agg(ROW(id, tenant_id, customer, status, value, due, note, NULL, NULL, NULL, NULL)::t ORDER BY i)
FROM (SELECT *, row_number() OVER () - 1 AS i FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY i / :batch ORDER BY i / :batch
-- @each
SELECT * FROM ffs_create_records($1, on_error => 'report', batch_size => :batch)

-- @case records, 1 in 100 NULL
-- @needs function ffs_create_records
-- @params
SELECT array_agg(ROW(id, tenant_id, CASE WHEN i % 100 <> 50 THEN customer END, status, value, due, note, NULL, NULL, NULL, NULL)::t ORDER BY i)
FROM (SELECT *, row_number() OVER () - 1 AS i FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY i / :batch ORDER BY i / :batch
-- @each
SELECT * FROM ffs_create_records($1, on_error => 'report', batch_size => :batch)

-- @case records, 1 in 100 key taken
-- @needs function ffs_create_records
-- @params
SELECT array_agg(ROW(CASE WHEN i % 100 <> 50 THEN id ELSE md5('row ' || i % :rows + 1)::uuid END, tenant_id, customer, status, value, due, note,
                     NULL, NULL, NULL, NULL)::t ORDER BY i)
FROM (SELECT *, row_number() OVER () - 1 AS i FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY i / :batch ORDER BY i / :batch
-- @each
SELECT * FROM ffs_create_records($1, on_error => 'report', batch_size => :batch)

-- @case jsonb, none bad
-- @check
SELECT count(*) = :new_last FROM t
-- @params
SELECT jsonb_agg(to_jsonb(r) - 'i' ORDER BY i)
FROM (SELECT *, row_number() OVER () - 1 AS i FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY i / :batch ORDER BY i / :batch
-- @each
SELECT * FROM ffs_create_many('t', $1, on_error => 'report', batch_size => :batch)

-- @case jsonb, 1 in 100 no number
-- @params
SELECT jsonb_agg(CASE WHEN i % 100 <> 50 THEN to_jsonb(r) - 'i' ELSE to_jsonb(r) - 'i' || '{"value": "many"}' END ORDER BY i)
FROM (SELECT *, row_number() OVER () - 1 AS i FROM bench_rows(:new_first, :new_last, :tenants)) r
GROUP BY i / :batch ORDER BY i / :batch
-- @each
SELECT * FROM ffs_create_many('t', $1, on_error => 'report', batch_size => :batch)
