-- Schema changes of managed tables carry over to what stands beside them, or are refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
\pset footer off
CREATE ROLE regress_ddl_owner;
CREATE ROLE regress_ddl_new_owner;
CREATE ROLE regress_ddl_reader;
CREATE SCHEMA ddl_test AUTHORIZATION regress_ddl_owner;
CREATE SCHEMA ddl_other AUTHORIZATION regress_ddl_owner;
GRANT ALL ON SCHEMA ddl_test, ddl_other TO regress_ddl_new_owner;
GRANT USAGE ON SCHEMA ddl_test TO PUBLIC;
SET search_path = ddl_test, ddl_other, public;
CREATE VIEW columns AS
SELECT c.relname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum) AS columns
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace IN ('ddl_test'::regnamespace, 'ddl_other'::regnamespace) AND c.relkind IN ('r', 'p', 'v') AND c.relname <> 'columns'
  AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attname !~ '^(created|updated)_|^(version|valid_from|transaction_id|valid_to|end_operation|ended_by|end_transaction_id)$'
GROUP BY 1 ORDER BY c.relname COLLATE "C";
GRANT SELECT ON columns TO PUBLIC;
SET ROLE regress_ddl_owner;

CREATE TABLE c (id int PRIMARY KEY, customer text, value int);
SELECT ffs_manage('c', 'scd2', soft_delete => true, exclude => '{customer}');
INSERT INTO c VALUES (1, 'a', 1), (2, 'b', 2);
UPDATE c SET value = value + 10;

-- columns come, are renamed, go, and come again
ALTER TABLE c ADD COLUMN note text DEFAULT 'x', ADD COLUMN more int;
UPDATE c SET note = 'y' WHERE id = 1;
SELECT * FROM columns;
ALTER TABLE c RENAME COLUMN value TO amount;
ALTER TABLE c RENAME COLUMN customer TO "Cust omer";
SELECT id, "Cust omer", amount, note, version, is_current FROM c_versions ORDER BY 1, 5;
SELECT id, "Cust omer", amount, note FROM c_as_of('infinity') ORDER BY 1;
SELECT id, amount, version FROM c_between('-infinity', 'infinity') ORDER BY 1, 3;
SELECT exclude, amiss FROM ffs_tables WHERE relation = 'c'::regclass;
ALTER TABLE c DROP COLUMN note;
ALTER TABLE c ADD COLUMN note int;
SELECT * FROM columns;
ALTER TABLE c ALTER COLUMN amount TYPE numeric(12, 2), DROP COLUMN more;
SELECT * FROM columns;
DELETE FROM c WHERE id = 2;
SELECT id, amount, note_dropped, end_operation FROM c_history ORDER BY 1, valid_from;
SELECT id, amount, deleted_at IS NOT NULL AS deleted FROM c_with_deleted ORDER BY 1;
-- a change that does not work beside the table either
ALTER TABLE c ALTER COLUMN "Cust omer" TYPE int USING 7;
SELECT amiss FROM ffs_tables WHERE relation = 'c'::regclass;
SELECT ffs_unmanage('c');
DROP TABLE c, c_history, c_deleted;

-- a view of a user's over ours: new columns do not hurt it
CREATE TABLE c (id int PRIMARY KEY, value int);
SELECT ffs_manage('c', 'scd2');
CREATE VIEW users_own AS SELECT id, value FROM c_versions;
ALTER TABLE c ADD COLUMN late int;
ALTER TABLE c RENAME COLUMN value TO amount;
SELECT attname FROM pg_attribute WHERE attrelid = 'c_versions'::regclass AND attnum > 12 ORDER BY attnum;
SELECT count(*) FROM users_own;
SELECT late FROM c_between('-infinity', 'infinity');
ALTER TABLE c DROP COLUMN late;
DROP VIEW users_own;
ALTER TABLE c DROP COLUMN late;
SELECT * FROM columns;

-- savepoints and failures
BEGIN;
ALTER TABLE c RENAME COLUMN amount TO a1;
SAVEPOINT s;
ALTER TABLE c RENAME COLUMN a1 TO a2;
ALTER TABLE c ADD COLUMN b2 int;
ROLLBACK TO s;
ALTER TABLE c ADD COLUMN b3 text;
COMMIT;
ALTER TABLE c DROP COLUMN a1, DROP COLUMN no_such_column;
SELECT * FROM columns;
SELECT amiss FROM ffs_tables WHERE relation = 'c'::regclass;
INSERT INTO c VALUES (1, 1);
UPDATE c SET a1 = 2;

-- another name, schema, owner
ALTER INDEX c RENAME TO ci;
SELECT count(*) FROM ci_as_of('infinity');
ALTER TABLE ci RENAME TO c;
RESET ROLE;
ALTER SCHEMA ddl_test RENAME TO ddl_renamed;
SELECT count(*) FROM ddl_renamed.c_as_of('infinity');
ALTER SCHEMA ddl_renamed RENAME TO ddl_test;
SET ROLE regress_ddl_owner;
ALTER TABLE c RENAME TO "Big C";
SELECT history, versions, as_of_function, between_function, amiss FROM ffs_tables WHERE relation = '"Big C"'::regclass;
ALTER TABLE "Big C" SET SCHEMA ddl_other;
SELECT history::oid::regclass::text, (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = history) AS schema, amiss FROM ffs_tables WHERE relation = '"Big C"'::regclass;
SELECT count(*) FROM ddl_other."Big C_as_of"('infinity');
CREATE TABLE ddl_other.taken_history (a int);
ALTER TABLE "Big C" RENAME TO taken;
DROP TABLE ddl_other.taken_history;
ALTER TABLE "Big C" SET SCHEMA ddl_test;
RESET ROLE;
ALTER TABLE "Big C" OWNER TO regress_ddl_new_owner;
SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE relname ~ '^Big C' AND relkind IN ('r', 'v') ORDER BY 1;
SELECT proname, pg_get_userbyid(proowner) FROM pg_proc WHERE proname ~ '^Big C' ORDER BY 1;
SET ROLE regress_ddl_new_owner;

-- rights
GRANT SELECT ON "Big C" TO regress_ddl_reader;
SELECT has_table_privilege('regress_ddl_reader', '"Big C_history"', 'SELECT'), has_table_privilege('regress_ddl_reader', '"Big C_versions"', 'SELECT');
REVOKE ALL ON "Big C" FROM regress_ddl_reader;
SELECT has_table_privilege('regress_ddl_reader', '"Big C_history"', 'SELECT'), has_table_privilege('regress_ddl_reader', '"Big C_versions"', 'SELECT');
GRANT SELECT (id) ON "Big C" TO regress_ddl_reader;
GRANT INSERT ON "Big C" TO regress_ddl_reader;
SELECT has_table_privilege('regress_ddl_reader', '"Big C_history"', 'SELECT, INSERT');

-- refused
ALTER TABLE "Big C" DROP COLUMN id;
ALTER TABLE "Big C" DROP COLUMN version;
ALTER TABLE "Big C" DROP CONSTRAINT c_pkey;
ALTER TABLE "Big C" ALTER COLUMN valid_from TYPE date;
ALTER TABLE "Big C" SET UNLOGGED;
ALTER TABLE "Big C" ADD COLUMN valid_to int;
CREATE TABLE heir () INHERITS ("Big C");
CREATE TABLE orphan (LIKE "Big C");
ALTER TABLE orphan INHERIT "Big C";
DROP TABLE orphan;
ALTER TABLE "Big C_history" DISABLE TRIGGER ALL;
ALTER TABLE "Big C_history" RENAME TO x;
ALTER TABLE "Big C_history" SET SCHEMA ddl_other;
ALTER TABLE "Big C_history" SET (fillfactor = 90);
DROP TABLE "Big C_history" CASCADE;
DROP TRIGGER ffstorage_read_only ON "Big C_history";
DELETE FROM "Big C_history";

-- our row trigger stays last
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER zzz BEFORE UPDATE ON "Big C" FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TRIGGER zzz ON "Big C" RENAME TO "~~";
CREATE TRIGGER "~~~~~~~~~~~~" AFTER UPDATE ON "Big C" FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT tgname FROM pg_trigger WHERE tgrelid = '"Big C"'::regclass AND tgname !~ '^ffstorage' ORDER BY tgname COLLATE "C";
UPDATE "Big C" SET a1 = 3;
SELECT amiss FROM ffs_tables WHERE relation = '"Big C"'::regclass;

-- DROP TABLE keeps history, as a plain table
DROP TABLE "Big C";
SELECT id, a1, version FROM "Big C_history" ORDER BY 3;
SELECT count(*) FROM ffs_tables WHERE history = '"Big C_history"'::regclass;
DROP TABLE "Big C_history";
-- unless CASCADE is said
CREATE TABLE c (id int PRIMARY KEY, tenant int NOT NULL);
SELECT ffs_manage('c', 'scd2', 'tenant', true);
DROP TABLE c CASCADE;
SELECT * FROM columns;

-- the audit table's key and tenant; the tenant column's type
SET ROLE regress_ddl_owner;
CREATE TABLE a (k int PRIMARY KEY, tenant int NOT NULL, n numeric(10, 2), t text);
SELECT ffs_manage('a', 'copy_on_change', 'tenant');
ALTER TABLE a ALTER n TYPE numeric(12, 4), DROP t;
ALTER TABLE a RENAME k TO key;
ALTER TABLE a ALTER key TYPE bigint, ALTER tenant TYPE bigint;
ALTER TABLE a RENAME tenant TO owner_id;
ALTER TABLE a ALTER owner_id TYPE date USING '2000-01-01';
ALTER TABLE a ALTER owner_id TYPE text;
ALTER TABLE a ALTER owner_id TYPE bigint USING owner_id::bigint;
ALTER TABLE a ALTER owner_id DROP NOT NULL;
ALTER TABLE a DROP owner_id;
SELECT * FROM columns;
SELECT tenant_column, amiss FROM ffs_tables WHERE relation = 'a'::regclass;
SELECT relname, polname, pg_get_expr(polqual, polrelid) FROM pg_policy JOIN pg_class c ON c.oid = polrelid WHERE relname ~ '^a(_audit)?$' ORDER BY 1, 2;
BEGIN;
SELECT ffs_set_tenant('5');
INSERT INTO a VALUES (1, 5, 1.5);
UPDATE a SET n = 2;
SELECT key, owner_id, operation, field_name, old_value FROM a_audit ORDER BY entry_id;
COMMIT;

-- the open policy gives way to users' own
CREATE POLICY narrow ON a AS RESTRICTIVE USING (true);
SELECT polname FROM pg_policy WHERE polrelid = 'a'::regclass ORDER BY 1;
CREATE POLICY mine ON a USING (key > 0);
SELECT polname FROM pg_policy WHERE polrelid = 'a'::regclass ORDER BY 1;
DROP POLICY mine ON a;
SELECT polname FROM pg_policy WHERE polrelid = 'a'::regclass ORDER BY 1;
SELECT ffs_unmanage('a', false);
DROP TABLE a;
-- row-level security that comes later
CREATE TABLE a (k int PRIMARY KEY);
SELECT ffs_manage('a', 'copy_on_change');
ALTER TABLE a ENABLE ROW LEVEL SECURITY;
SELECT polname FROM pg_policy WHERE polrelid = 'a_audit'::regclass ORDER BY 1;
ALTER TABLE a DISABLE ROW LEVEL SECURITY;
SELECT polname FROM pg_policy WHERE polrelid = 'a_audit'::regclass ORDER BY 1;
DROP TABLE a CASCADE;

-- partitions
CREATE TABLE p (id int PRIMARY KEY, tenant text NOT NULL, v int) PARTITION BY RANGE (id);
SELECT ffs_manage('p', 'scd2', 'tenant');
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE p21 PARTITION OF p2 FOR VALUES FROM (10) TO (15);
CREATE UNLOGGED TABLE p22 PARTITION OF p2 FOR VALUES FROM (15) TO (20);
CREATE TABLE p3 (LIKE p);
INSERT INTO p3 VALUES (25, 'x', 1, NULL, NULL, NULL, NULL, 1, now(), '1');
ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30);
DELETE FROM p3;
ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30);
SELECT c.relname, relrowsecurity AS rls, relforcerowsecurity AS force,
       (SELECT string_agg(polname, ' ' ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid) AS policies,
       (SELECT string_agg(tgname, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid) AS triggers
FROM pg_class c WHERE relnamespace = 'ddl_test'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1;
BEGIN;
SELECT ffs_set_tenant('x');
INSERT INTO p VALUES (1, 'x'), (12, 'x'), (22, 'x');
COMMIT;
ALTER TABLE p DETACH PARTITION p1;
ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;
DROP TABLE p21;
ALTER TABLE p ALTER COLUMN v TYPE bigint;
ALTER TABLE p RENAME COLUMN tenant TO t;
CREATE TRIGGER zzz BEFORE UPDATE ON p1 FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname ~ 'zz' ORDER BY 1, 2;
SELECT amiss FROM ffs_tables WHERE relation = 'p'::regclass;
BEGIN;
SELECT ffs_set_tenant('x');
UPDATE p SET v = 7;
DELETE FROM p WHERE id = 1;
SELECT id, t, v, version FROM p_versions ORDER BY 1, 4;
COMMIT;
ALTER TABLE p DETACH PARTITION p1;
SELECT relrowsecurity, relforcerowsecurity,
       (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) AS policies, (SELECT string_agg(tgname, ' ') FROM pg_trigger WHERE tgrelid = c.oid) AS triggers,
       (SELECT count(*) FROM pg_attrdef WHERE adrelid = c.oid) AS defaults
FROM pg_class c WHERE relname = 'p1';
DROP TABLE p1;
RESET ROLE;
DROP SCHEMA ddl_test, ddl_other CASCADE;
SELECT count(*) FROM ffstorage.managed WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = relation);
DROP ROLE regress_ddl_owner, regress_ddl_new_owner, regress_ddl_reader;
DROP EXTENSION ffstorage;
