-- What reached a crash or an internal error once, each in its smallest form.
CREATE EXTENSION ffstorage;
SET client_min_messages = warning;
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

SELECT ffs_unmanage('bad_scd2', false), ffs_unmanage('bad_audit', false);
DROP TABLE bad_scd2, bad_audit;
DROP EXTENSION ffstorage;
