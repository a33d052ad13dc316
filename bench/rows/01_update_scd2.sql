-- @row UPDATE of 100,000 rows in one statement, scd2
-- @per :half row
-- @target ffstorage <= 1.75
-- @target ffstorage <= 0.65 of temporal_tables
-- @peers temporal_tables periods supa_audit nearform
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @run
UPDATE t SET value = value + 1 WHERE status = 'open';
-- @after
SELECT bench_clean();

-- @case unmanaged

-- @case by hand
-- @manage
CREATE TABLE t_history (LIKE t, valid_from timestamptz NOT NULL, valid_to timestamptz NOT NULL, PRIMARY KEY (id, valid_from));
ALTER TABLE t ADD COLUMN valid_from timestamptz NOT NULL DEFAULT now();
-- @run
BEGIN;
INSERT INTO t_history SELECT *, now() FROM t WHERE status = 'open';
UPDATE t SET value = value + 1, valid_from = now() WHERE status = 'open';
COMMIT;

-- @case ffstorage
-- @manage
SELECT ffs_manage('t', strategy => 'scd2');
-- @check
SELECT count(*) = :half FROM t_history

-- @case ffstorage, no stamps
-- @manage
SELECT ffs_manage('t', strategy => 'scd2', stamps => false);
-- @check
SELECT count(*) = :half FROM t_history
