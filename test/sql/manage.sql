-- Putting tables under management, changing how, and taking them out again.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
\pset footer off
CREATE ROLE regress_manage_owner;
CREATE ROLE regress_manage_reader;
CREATE ROLE regress_manage_other;
CREATE SCHEMA manage_test AUTHORIZATION regress_manage_owner;
GRANT USAGE ON SCHEMA manage_test TO PUBLIC;
SET search_path = manage_test, public;
CREATE TABLE anothers (a int PRIMARY KEY);

-- what there is on a table and beside it
CREATE VIEW objects AS
SELECT c.relname, c.relkind, pg_get_userbyid(c.relowner) AS owner, c.relrowsecurity AS rls, c.relforcerowsecurity AS force,
       (SELECT string_agg(polname, ' ' ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid) AS policies,
       (SELECT string_agg(tgname, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) AS triggers,
       (SELECT string_agg(coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC') || '=' || a.privilege_type, ' ' ORDER BY 1)
        FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner) AS acl
FROM pg_class c
WHERE c.relnamespace = 'manage_test'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relname NOT IN ('objects', 'columns', 'anothers');
CREATE VIEW columns AS
SELECT a.attrelid::regclass AS relation, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       pg_get_expr(d.adbin, d.adrelid) AS default
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid::regclass::text, a.attnum;
GRANT SELECT ON objects, columns TO PUBLIC;
SET ROLE regress_manage_owner;

-- refusals: the relation
SELECT ffs_manage('pg_class');
SELECT ffs_manage('anothers');
SELECT ffs_manage(NULL);
CREATE TEMP TABLE temporary (a int PRIMARY KEY);
SELECT ffs_manage('temporary');
DROP TABLE temporary;
CREATE UNLOGGED TABLE unlogged (a int PRIMARY KEY);
SELECT ffs_manage('unlogged');
DROP TABLE unlogged;
CREATE VIEW a_view AS SELECT 1 AS a;
SELECT ffs_manage('a_view');
DROP VIEW a_view;
CREATE TABLE parent (a int PRIMARY KEY);
CREATE TABLE child () INHERITS (parent);
SELECT ffs_manage('parent');
SELECT ffs_manage('child');
DROP TABLE parent CASCADE;
CREATE TABLE root (a int PRIMARY KEY) PARTITION BY RANGE (a);
CREATE TABLE part PARTITION OF root FOR VALUES FROM (1) TO (2);
SELECT ffs_manage('part');
DROP TABLE root;

-- refusals: the words
CREATE TABLE t (a int PRIMARY KEY, maybe int, b text, v varchar NOT NULL, nokey int);
SELECT ffs_manage('t', 'bogus');
SELECT ffs_manage('t', NULL);
SELECT ffs_manage('t', tenant_column => 'nope');
SELECT ffs_manage('t', tenant_column => 'maybe');
SELECT ffs_manage('t', tenant_column => 'v');
-- by a collation that is not deterministic, tenants could be equal that are not the same (where PostgreSQL has ICU)
CREATE TABLE loosely (id integer PRIMARY KEY, owner text COLLATE "C" NOT NULL);
SELECT ffs_manage('loosely', tenant_column => 'owner');
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') THEN
		CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		BEGIN
			ALTER TABLE loosely ALTER owner TYPE text COLLATE loose;
			ASSERT false, 'taken while it is managed';
		EXCEPTION WHEN SQLSTATE 'ZF005' THEN NULL;
		END;
		PERFORM ffs_unmanage('loosely');
		ALTER TABLE loosely ALTER owner TYPE text COLLATE loose;
		BEGIN
			PERFORM ffs_manage('loosely', tenant_column => 'owner');
			ASSERT false, 'taken';
		EXCEPTION WHEN SQLSTATE 'ZF005' THEN
			ASSERT SQLERRM = 'tenant column "owner" of table "loosely" has the nondeterministic collation "loose"', SQLERRM;
		END;
	END IF;
END $$;
SELECT count(ffs_unmanage('loosely')) IS NOT NULL AS over FROM ffs_tables WHERE relation = 'loosely'::regclass;
DROP TABLE loosely;
DROP COLLATION IF EXISTS loose;
SELECT ffs_manage('t', exclude => '{zz}');
SELECT ffs_manage('t', exclude => '{NULL}');
SELECT ffs_manage('t', 'scd2', exclude => '{a}');
SELECT ffs_manage('t', 'scd2', exclude => '{valid_from}');
SELECT ffs_manage('t', columns => '[]');
SELECT ffs_manage('t', columns => '{"nonsense": "b"}');
SELECT ffs_manage('t', columns => '{"created_by": 5}');
SELECT ffs_manage('t', columns => '{"created_by": {"b": "b"}}');
SELECT ffs_manage('t', columns => '{"created_by": "nope"}');
SELECT ffs_manage('t', columns => '{"created_by": "v"}');
SELECT ffs_manage('t', columns => '{"created_by": "b", "updated_by": "b"}');
CREATE TABLE keyless (a int);
SELECT ffs_manage('keyless', 'scd2');
SELECT ffs_manage('keyless', 'copy_on_change');
SELECT ffs_manage('keyless');
SELECT ffs_unmanage('keyless');
CREATE TABLE clash (a int PRIMARY KEY, version text, valid_to int, deleted_at int);
SELECT ffs_manage('clash', 'scd2');
ALTER TABLE clash DROP version;
SELECT ffs_manage('clash', 'scd2');
SELECT ffs_manage('clash', soft_delete => true);
DROP TABLE clash, keyless;

-- refusals: the names beside it
CREATE TABLE t_history (a int);
SELECT ffs_manage('t', 'scd2');
DROP TABLE t_history;
CREATE FUNCTION t_as_of(timestamptz) RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT ffs_manage('t', 'scd2');
DROP FUNCTION t_as_of;
SELECT relname FROM objects ORDER BY 1;
DROP TABLE t;

-- everything at once, under a name that needs quoting
CREATE TABLE "Con tracts" (id uuid PRIMARY KEY, tenant_id uuid NOT NULL, customer text COLLATE "C", value numeric(10, 2),
                           gen int GENERATED ALWAYS AS (7) STORED);
INSERT INTO "Con tracts" VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-00000000000a', 'a', 1);
GRANT SELECT ON "Con tracts" TO regress_manage_reader;
GRANT INSERT, UPDATE ON "Con tracts" TO regress_manage_other;
SELECT ffs_manage('"Con tracts"', 'scd2', 'tenant_id', true, '{customer}');
SELECT * FROM objects ORDER BY relname COLLATE "C";
SELECT * FROM columns WHERE relation::text ~ 'manage_test|Con tracts(|_history|_deleted)"$';
SELECT attname FROM pg_attribute WHERE attrelid = '"Con tracts_versions"'::regclass ORDER BY attnum;
SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid::regclass::text ~ 'Con tracts' ORDER BY indexrelid::regclass::text COLLATE "C";
SELECT oid::regprocedure, proretset, prorettype::regtype, provolatile FROM pg_proc WHERE pronamespace = 'manage_test'::regnamespace ORDER BY oid::regprocedure::text COLLATE "C";
SELECT relation, strategy, tenant_column, soft_delete, exclude, stamps, columns, history, audit, deleted, versions, with_deleted, as_of_function, between_function, amiss FROM ffs_tables;
SELECT ffs_set_tenant('00000000-0000-0000-0000-00000000000a');
BEGIN;
SELECT ffs_set_tenant('00000000-0000-0000-0000-00000000000a');
SELECT id, version, valid_from = created_at AS stamped, created_by = session_user AS mine FROM "Con tracts";
SELECT count(*) FROM "Con tracts_as_of"('infinity');
SELECT count(*) FROM "Con tracts_as_of"('2001-01-01');
SELECT is_current, count(*) FROM "Con tracts_between"('-infinity', 'infinity') GROUP BY 1;
SELECT count(*) FROM "Con tracts_between"('infinity', '-infinity');
UPDATE "Con tracts" SET value = 2;
COMMIT;

-- the functions are inlined: no function scan
RESET ROLE;
EXPLAIN (COSTS OFF) SELECT id FROM "Con tracts_as_of"('infinity') WHERE id = '00000000-0000-0000-0000-000000000001';

-- the same words again change nothing, and put back what is gone
SELECT xmin AS before FROM ffstorage.managed \gset
SET ROLE regress_manage_owner;
SELECT ffs_manage('"Con tracts"', 'scd2', 'tenant_id', true, '{customer,customer}');
RESET ROLE;
SELECT xmin = :'before'::xid AS unchanged FROM ffstorage.managed;
SET ROLE regress_manage_owner;
ALTER TABLE "Con tracts" DISABLE TRIGGER ffstorage_begin, NO FORCE ROW LEVEL SECURITY;
DROP TRIGGER ffstorage_end ON "Con tracts";
DROP POLICY ffstorage_tenant ON "Con tracts";
DROP VIEW "Con tracts_with_deleted";
SELECT amiss FROM ffs_tables;
RESET ROLE;
SELECT check_name, status, message, details FROM ffs_health WHERE check_name IN ('triggers_and_policies', 'history_in_step') ORDER BY 1;
SET ROLE regress_manage_owner;
SELECT ffs_manage('"Con tracts"', 'scd2', 'tenant_id', true, '{customer}');
SELECT amiss FROM ffs_tables;

-- who sees what
SET ROLE regress_manage_reader;
SELECT relation, amiss FROM ffs_tables;
SELECT count(*) FROM "Con tracts_history";
BEGIN;
SELECT ffs_set_tenant('00000000-0000-0000-0000-00000000000a');
SELECT count(*) FROM "Con tracts_history";
SELECT count(*) FROM "Con tracts_versions";
COMMIT;
SELECT ffs_manage('"Con tracts"');
SELECT ffs_unmanage('"Con tracts"');
SET ROLE regress_manage_other;
SELECT relation FROM ffs_tables;
SELECT count(*) FROM "Con tracts_history";
SET ROLE regress_manage_owner;

-- what stands beside cannot be managed itself
SELECT ffs_manage('"Con tracts_history"');

-- changed over: without deleted rows, without a tenant, another strategy
SELECT ffs_manage('"Con tracts"', 'scd2');
SELECT * FROM objects ORDER BY relname COLLATE "C";
SELECT ffs_manage('"Con tracts"', 'scd2', soft_delete => true);
DROP TABLE "Con tracts_deleted";
SELECT ffs_manage('"Con tracts"', 'copy_on_change', 'tenant_id', stamps => false);
SELECT * FROM objects ORDER BY relname COLLATE "C";
SELECT * FROM columns WHERE relation::text ~ 'Con tracts"$';
RESET ROLE;
SELECT entry_id, id, tenant_id, operation, field_name, old_value, new_value ->> 'value' AS value, changed_by = session_user AS mine FROM "Con tracts_audit";
SET ROLE regress_manage_owner;

-- a tenant column later: earlier entries get theirs
SELECT ffs_manage('"Con tracts"', 'copy_on_change');
SELECT ffs_unmanage('"Con tracts"', false);
SELECT ffs_manage('"Con tracts"', 'copy_on_change');
UPDATE "Con tracts" SET value = 3;
INSERT INTO "Con tracts" VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-00000000000b', 'b', 1);
DELETE FROM "Con tracts" WHERE tenant_id = '00000000-0000-0000-0000-00000000000b';
SELECT ffs_manage('"Con tracts"', 'copy_on_change', 'tenant_id');
RESET ROLE;
SELECT id, tenant_id, operation, field_name FROM "Con tracts_audit" ORDER BY entry_id;
SET ROLE regress_manage_owner;
SELECT ffs_unmanage('"Con tracts"', false);
SELECT * FROM objects ORDER BY relname COLLATE "C";
SELECT * FROM columns WHERE relation::text ~ 'Con tracts"$';
SELECT ffs_unmanage('"Con tracts"');
DROP TABLE "Con tracts", "Con tracts_history";

-- columns that are there: values kept or begun anew, no trigger hears of it, all put back
CREATE TABLE old (a int PRIMARY KEY, version int, valid_from timestamptz DEFAULT '2000-01-01', creator text DEFAULT 'me',
                  created_at timestamptz NOT NULL DEFAULT '2000-01-01');
INSERT INTO old SELECT g, 77 FROM generate_series(1, 3) g;
CREATE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''boom''; END';
CREATE TRIGGER aaa BEFORE UPDATE ON old FOR EACH ROW EXECUTE FUNCTION boom();
CREATE TRIGGER bbb BEFORE UPDATE ON old FOR EACH ROW EXECUTE FUNCTION boom();
ALTER TABLE old ENABLE ALWAYS TRIGGER aaa;
ALTER TABLE old DISABLE TRIGGER bbb;
ALTER TABLE old ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT ffs_manage('old', 'scd2', columns => '{"created_by": "creator"}');
RESET ROLE;
SELECT a, version, valid_from > '2020-01-01' AS stamped, creator, created_at = '2000-01-01' AS kept, transaction_id IS NOT NULL AS by FROM old;
SET ROLE regress_manage_owner;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'old'::regclass ORDER BY 1;
SELECT * FROM columns WHERE relation = 'old'::regclass;
SELECT ffs_manage('old', 'scd2', columns => '{"created_by": "creator", "version": "a"}');
SELECT columns FROM ffs_tables;
SELECT * FROM objects ORDER BY relname COLLATE "C";
SELECT ffs_unmanage('old', false);
SELECT * FROM columns WHERE relation = 'old'::regclass;
SELECT * FROM objects ORDER BY relname COLLATE "C";
DROP TABLE old;

-- other policies of the table: their readers do not see its past
CREATE TABLE guarded (a int PRIMARY KEY, who name);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded TO regress_manage_reader USING (who = current_user);
CREATE POLICY whole ON guarded TO regress_manage_other USING (true);
GRANT SELECT ON guarded TO regress_manage_reader, regress_manage_other;
INSERT INTO guarded VALUES (1, 'regress_manage_reader'), (2, 'x');
SELECT ffs_manage('guarded', 'copy_on_change');
SELECT count(*) FROM guarded_audit;
SET ROLE regress_manage_reader;
SELECT count(*) FROM guarded;
SELECT count(*) FROM guarded_audit;
SET ROLE regress_manage_other;
SELECT count(*) FROM guarded_audit;
SET ROLE regress_manage_owner;
SELECT ffs_unmanage('guarded');
SELECT * FROM objects ORDER BY relname COLLATE "C";
DROP TABLE guarded, guarded_audit;

-- names that would pass 63 bytes
CREATE TABLE a_very_long_name_of_a_table_that_leaves_no_room_for_more_at_all (a int PRIMARY KEY);
SELECT ffs_manage('a_very_long_name_of_a_table_that_leaves_no_room_for_more_at_all', 'scd2', soft_delete => true);
SELECT history, deleted, versions, as_of_function, amiss FROM ffs_tables;

-- partitioned, a composite key, another order of columns in a partition
CREATE TABLE parted (region text, id int, tenant text NOT NULL, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE parted_b (v int, tenant text NOT NULL, id int NOT NULL, region text NOT NULL);
ALTER TABLE parted_b ENABLE ROW LEVEL SECURITY;
ALTER TABLE parted ATTACH PARTITION parted_b FOR VALUES IN ('b');
INSERT INTO parted VALUES ('a', 1, 'x', 1), ('b', 1, 'x', 1);
SELECT ffs_manage('parted', 'scd2', 'tenant');
SELECT relname, rls, force, policies, triggers FROM objects WHERE relname ~ '^parted' ORDER BY 1;
BEGIN;
SELECT ffs_set_tenant('x');
UPDATE parted SET v = 2;
SELECT id, region, v, version, valid_to IS NULL AS present FROM parted_versions ORDER BY 1, 2, 4;
COMMIT;

-- without managed tables the extension goes; the past stays
RESET ROLE;
BEGIN;
SELECT ffs_unmanage_all() >= 2 AS all_out;
DROP EXTENSION ffstorage;
SELECT relname, rls, force, policies, triggers FROM objects ORDER BY relname COLLATE "C";
SELECT id, region, v FROM parted_history ORDER BY 1, 2;
ROLLBACK;
\set VERBOSITY terse
DROP EXTENSION ffstorage CASCADE;
\set VERBOSITY default
SELECT ffs_unmanage('parted', false);
DROP SCHEMA manage_test CASCADE;
SELECT count(*) FROM ffs_tables WHERE relation::text ~ 'manage_test|parted|long_name';
DROP ROLE regress_manage_owner, regress_manage_reader, regress_manage_other;
DROP EXTENSION ffstorage;
