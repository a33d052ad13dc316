-- What reached a crash or an internal error once, each in its smallest form.
SET client_min_messages = warning;
CREATE ROLE regress_bad_owner SUPERUSER;
CREATE SCHEMA bad_extension;
SET ROLE regress_bad_owner;
CREATE EXTENSION ffstorage SCHEMA bad_extension;
RESET ROLE;
SET search_path = public, bad_extension;
\set SHOW_CONTEXT never

CREATE TABLE bad_scd2 (id text PRIMARY KEY, v integer);
CREATE TABLE bad_audit (id text PRIMARY KEY, v integer);
SELECT ffs_manage('bad_scd2', 'scd2'), ffs_manage('bad_audit', 'copy_on_change');
INSERT INTO bad_scd2 VALUES ('a', 1), ('b', 2);
INSERT INTO bad_audit VALUES ('a', 1), ('b', 2);

-- what WHEN clauses call, called by others, or by a trigger on a table of another strategy
SELECT ffstorage.is_new_row(NULL);
SELECT * FROM ffstorage.is_new_row((SELECT b FROM bad_audit b LIMIT 1));
SELECT ffstorage.is_new_row(b) FROM bad_audit b;
SELECT ffstorage.is_new_row(ROW(1, 2));
CREATE TRIGGER ours AFTER INSERT ON bad_scd2 FOR EACH ROW WHEN (ffstorage.is_new_row(NEW.*)) EXECUTE FUNCTION ffstorage.row_inserted();
INSERT INTO bad_scd2 VALUES ('c', 1);
DROP TRIGGER ours ON bad_scd2;

-- a key that becomes NULL
\set VERBOSITY terse
UPDATE bad_audit SET id = NULL WHERE id = 'a';
UPDATE bad_scd2 SET id = NULL WHERE id = 'a';
BEGIN;
DELETE FROM bad_scd2 WHERE id = 'a';
INSERT INTO bad_scd2 VALUES (NULL, 1);
ROLLBACK;
\set VERBOSITY default
SELECT count(*) FROM bad_scd2_history;
SELECT operation, count(*) FROM bad_audit_audit GROUP BY 1;

-- a type that is no row's
SELECT * FROM ffs_get_many(NULL::integer, '{1}'::integer[]);
SELECT * FROM ffs_get(NULL::integer, 1);

-- the extension goes with its schema or its owner only when it manages nothing
\set VERBOSITY terse
DROP SCHEMA bad_extension CASCADE;
DROP OWNED BY regress_bad_owner CASCADE;
SELECT count(*) FROM ffs_tables;

-- a time that was there before and has no successor
CREATE TABLE bad_times (id integer PRIMARY KEY, v integer, updated_at timestamptz);
INSERT INTO bad_times VALUES (1, 1, 'infinity'), (2, 1, 'infinity'), (3, 1, '-infinity');
SELECT ffs_manage('bad_times', 'copy_on_change');
UPDATE bad_times SET v = 2;
DELETE FROM bad_times WHERE id = 2;
SELECT id, v, updated_at > now() - interval '1 minute' AND updated_at <= clock_timestamp() AS now FROM bad_times ORDER BY id;
SELECT operation, count(*), bool_and(changed_at <= clock_timestamp()) AS past FROM bad_times_audit GROUP BY 1 ORDER BY 1;
SELECT ffs_unmanage('bad_times', false);
DROP TABLE bad_times;
\set VERBOSITY default

SELECT ffs_unmanage('bad_scd2', false), ffs_unmanage('bad_audit', false);
DROP TABLE bad_scd2, bad_audit;
DROP EXTENSION ffstorage;
DROP SCHEMA bad_extension;
DROP ROLE regress_bad_owner;
