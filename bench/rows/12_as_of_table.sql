-- @row whole table as of a moment, 200,000 rows out of 2,200,000 versions
-- @per 1 scan
-- @target <t>_as_of(), half way <= 1.4
-- @target <t>_as_of(), now <= 1.4
-- @schema past
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t', strategy => 'scd2');
-- @fill
SELECT bench_fill(:rows, :tenants);
SELECT bench_past(:versions, :rows);
CREATE TABLE keys AS SELECT array_agg(md5('row ' || 1 + n::bigint * 7919 % :rows)::uuid) AS keys FROM generate_series(1, :lookups) n;

-- @case scan of an unmanaged table
-- @schema plain
-- @manage
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @run
SELECT count(*), sum(value) FROM t

-- @case <t>_as_of(), half way
-- @run
SELECT count(*), sum(value) FROM t_as_of(timestamptz '2020-01-01' + (:versions / :rows / 2) * interval '10 days')

-- @case <t>_as_of(), now
-- @run
SELECT count(*), sum(value) FROM t_as_of(now())
