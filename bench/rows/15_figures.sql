-- @row figures collected: single-row UPDATE by key, scd2, 2 clients
-- @per :lookups statement
-- @target on <= 1.01
-- @schema figures
-- @setup
SELECT bench_table();
-- @manage
SELECT ffs_manage('t', strategy => 'scd2');
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @params
SELECT md5('row ' || 1 + n::bigint * 7919 % :rows)::uuid FROM generate_series(1, :lookups) n
-- @each clients=2
UPDATE t SET value = value + 1 WHERE id = $1
-- @after
SELECT bench_clean();

-- @case off
-- @session
SET ffstorage.track = off;

-- @case on
