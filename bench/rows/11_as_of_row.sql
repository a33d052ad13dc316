-- @row one row as of a moment, 2,000,000 closed versions
-- @per :lookups look-up
-- @target <t>_as_of() <= 1.3
-- @target <t>_as_of(), twice the history <= 1.05 of <t>_as_of()
-- @schema past
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t', strategy => 'scd2');
-- @fill
SELECT bench_fill(:rows, :tenants);
SELECT bench_past(:versions, :rows);
CREATE TABLE keys AS SELECT array_agg(md5('row ' || 1 + n::bigint * 7919 % :rows)::uuid) AS keys FROM generate_series(1, :lookups) n;

-- @case index probe
-- @run
DO $$
DECLARE
    moment timestamptz := timestamptz '2020-01-01' + (:versions / :rows / 2) * interval '10 days';
    wanted uuid;
    found record;
BEGIN
    FOREACH wanted IN ARRAY (SELECT keys FROM keys) LOOP
        SELECT * INTO found FROM t_history WHERE id = wanted AND valid_from <= moment ORDER BY valid_from DESC LIMIT 1;
    END LOOP;
END
$$

-- @case <t>_as_of()
-- @run
DO $$
DECLARE
    moment timestamptz := timestamptz '2020-01-01' + (:versions / :rows / 2) * interval '10 days';
    wanted uuid;
    found record;
BEGIN
    FOREACH wanted IN ARRAY (SELECT keys FROM keys) LOOP
        SELECT * INTO found FROM t_as_of(moment) WHERE id = wanted;
    END LOOP;
END
$$

-- @case <t>_as_of(), twice the history
-- @schema past_twice
-- @fill
SELECT bench_fill(:rows, :tenants);
SELECT bench_past(2 * :versions, :rows);
CREATE TABLE keys AS SELECT array_agg(md5('row ' || 1 + n::bigint * 7919 % :rows)::uuid) AS keys FROM generate_series(1, :lookups) n;
-- @run
DO $$
DECLARE
    moment timestamptz := timestamptz '2020-01-01' + (:versions / :rows) * interval '10 days';
    wanted uuid;
    found record;
BEGIN
    FOREACH wanted IN ARRAY (SELECT keys FROM keys) LOOP
        SELECT * INTO found FROM t_as_of(moment) WHERE id = wanted;
    END LOOP;
END
$$

-- @case ffs_row_at()
-- @run
DO $$
DECLARE
    moment timestamptz := timestamptz '2020-01-01' + (:versions / :rows / 2) * interval '10 days';
    wanted uuid;
    found record;
BEGIN
    FOREACH wanted IN ARRAY (SELECT keys FROM keys) LOOP
        SELECT * INTO found FROM ffs_row_at(NULL::t, moment, wanted);
    END LOOP;
END
$$
