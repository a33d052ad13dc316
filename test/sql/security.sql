-- What an attacker tries: a role with a tenant and any SQL, and an owner
-- against what stands beside its own tables.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
CREATE ROLE sec_owner;
CREATE ROLE sec_app;
CREATE SCHEMA sec AUTHORIZATION sec_owner;
GRANT USAGE ON SCHEMA sec TO sec_app;
SET search_path = sec, public;
SET ROLE sec_owner;
CREATE TABLE rows (id integer PRIMARY KEY, tenant text NOT NULL, v text);
SELECT ffs_manage('rows', 'scd2', 'tenant', soft_delete => true);
CREATE TABLE audited (id integer PRIMARY KEY, v text, w text);
SELECT ffs_manage('audited', 'copy_on_change');
GRANT SELECT, INSERT, UPDATE, DELETE ON rows TO sec_app;
BEGIN;
SELECT ffs_set_tenant('a');
INSERT INTO rows VALUES (1, 'a', 'one'), (2, 'a', 'two');
UPDATE rows SET v = 'uno' WHERE id = 1;
COMMIT;
BEGIN;
SELECT ffs_set_tenant('b');
INSERT INTO rows VALUES (3, 'b', 'three');
COMMIT;
INSERT INTO audited VALUES (1, 'one', 'w'), (2, 'two', 'w');
UPDATE audited SET v = 'uno' WHERE id = 1;
CREATE TABLE seen (who text);
GRANT ALL ON seen TO PUBLIC;

--
-- a role with a tenant
--
RESET ROLE;
SET ROLE sec_app;
-- the tenant asked for beside the policy that asks for it, in plans by key
BEGIN;
SELECT ffs_set_tenant('a');
SELECT id, (SELECT ffstorage.tenant_text()) FROM rows WHERE id = 1;
SELECT id FROM rows WHERE id = 1 AND (SELECT ffstorage.tenant_text()) = 'a' ORDER BY (SELECT ffstorage.tenant_text());
SELECT id FROM rows WHERE id = 1 LIMIT length((SELECT ffstorage.tenant_text()));
UPDATE rows SET v = (SELECT ffstorage.tenant_text()) WHERE id = 2 RETURNING id, v, (SELECT ffstorage.tenant_text());
SELECT id FROM rows WHERE id = 1 AND (SELECT true FROM (VALUES ((SELECT ffstorage.tenant_text()))) x(t) WHERE x.t = rows.tenant) FOR UPDATE;
ROLLBACK;
-- a MERGE that reads no column of its target is asked about one's own rows only
CREATE TEMPORARY SEQUENCE asked;
BEGIN;
SELECT ffs_set_tenant('a');
MERGE INTO rows USING (VALUES (1)) x(i) ON true WHEN MATCHED AND nextval('asked') < 0 THEN DELETE;
SELECT last_value FROM asked;
MERGE INTO rows USING (VALUES (1)) x(i) ON true WHEN MATCHED THEN DELETE;
SELECT count(*) FROM rows;
ROLLBACK;
-- who is bound by policies of the table's own hears of no deleted rows, and of none that is not there
RESET ROLE;
SET ROLE sec_owner;
CREATE TABLE bound (id integer PRIMARY KEY, who text);
ALTER TABLE bound ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bound USING (who = current_user);
SELECT ffs_manage('bound', 'scd2', soft_delete => true);
GRANT SELECT, INSERT, UPDATE, DELETE ON bound TO sec_app;
INSERT INTO bound VALUES (1, 'another');
DELETE FROM bound;
RESET ROLE;
SET ROLE sec_app;
SELECT ffs_update('bound', '{"id": 1, "who": "sec_app"}');
SELECT ffs_update('bound', '{"id": 2, "who": "sec_app"}');
SELECT count(*) FROM bound_deleted;

--
-- an owner, against what stands beside its tables
--
RESET ROLE;
SET ROLE sec_owner;
CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN INSERT INTO sec.seen VALUES (current_user); RETURN NEW; END$$;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
-- nothing of the owner's goes on it
CREATE TRIGGER evil BEFORE UPDATE ON audited_audit FOR EACH ROW EXECUTE FUNCTION evil();
CREATE RULE evil AS ON UPDATE TO audited_audit DO ALSO INSERT INTO sec.seen VALUES (current_user);
-- and if something is there, it runs with no more rights than the owner's, or not at all
RESET ROLE;
CREATE TRIGGER evil BEFORE UPDATE ON audited_audit FOR EACH ROW EXECUTE FUNCTION evil();
CREATE RULE evil AS ON UPDATE TO audited_audit DO ALSO INSERT INTO sec.seen VALUES (current_user);
SET ROLE sec_owner;
ALTER TABLE audited RENAME COLUMN v TO value;
SELECT * FROM seen;
SELECT entry_id, operation, field_name, new_value ->> 'value' AS value, new_value ? 'v' AS v FROM audited_audit ORDER BY entry_id;
RESET ROLE;
DROP TRIGGER evil ON audited_audit;
DROP RULE evil ON audited_audit;
-- index expressions run as the owner, whoever writes
SET ROLE sec_owner;
CREATE FUNCTION note() RETURNS void LANGUAGE sql AS $$INSERT INTO sec.seen VALUES (current_user)$$;
CREATE FUNCTION noted(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$BEGIN PERFORM sec.note(); RETURN $1; END$$;
CREATE INDEX audited_noted ON audited_audit (noted(field_name));
DELETE FROM seen;
RESET ROLE;
UPDATE audited SET w = 'x' WHERE id = 1;
SELECT DISTINCT who FROM seen;
-- and find it append only even while ffstorage itself adds entries
SET ROLE sec_owner;
CREATE OR REPLACE FUNCTION note() RETURNS void LANGUAGE sql AS $$DELETE FROM sec.audited_audit$$;
ALTER TABLE audited ADD COLUMN x integer DEFAULT 1;
DROP INDEX audited_noted;
ALTER TABLE audited ADD COLUMN x integer DEFAULT 1;
SELECT id, operation, old_value, new_value FROM audited_audit WHERE field_name = 'x' ORDER BY entry_id;
RESET ROLE;
-- it becomes no part of another table, and gets no parts
SET ROLE sec_owner;
CREATE TABLE around (LIKE rows_history) PARTITION BY RANGE (id);
ALTER TABLE around ATTACH PARTITION rows_history DEFAULT;
CREATE TABLE beside () INHERITS (rows_history);
CREATE TABLE beside (LIKE rows_history);
ALTER TABLE beside INHERIT rows_history;
RESET ROLE;
GRANT CREATE ON DATABASE :DBNAME TO sec_owner;
SET ROLE sec_owner;
CREATE SCHEMA sec_too CREATE TABLE beside () INHERITS (sec.rows_history);
CREATE SCHEMA sec_too CREATE TABLE beside () INHERITS (sec.rows);
-- its triggers and policies keep their names, and stay
ALTER TRIGGER ffstorage_read_only ON rows_history RENAME TO other;
ALTER TRIGGER ffstorage_read_only ON rows_history DEPENDS ON EXTENSION plpgsql;
ALTER POLICY ffstorage_tenant ON rows_history RENAME TO other;
ALTER TABLE rows_history DISABLE TRIGGER ffstorage_read_only;
ALTER TABLE rows_history NO FORCE ROW LEVEL SECURITY;
-- nor do the numbers of entries start again
ALTER SEQUENCE audited_audit_entry_id_seq MINVALUE -100 RESTART -50;
-- who may read it follows from the table
GRANT SELECT ON rows_history TO sec_app;
CREATE SCHEMA sec_too GRANT SELECT ON sec.rows_history TO sec_app;
-- functions of the owner's that ffstorage's own changes run are not ffstorage
CREATE TYPE mood AS ENUM ('one', 'two');
CREATE TABLE typed (id integer PRIMARY KEY, m text);
SELECT ffs_manage('typed', 'scd2');
INSERT INTO typed VALUES (1, 'one');
UPDATE typed SET m = 'two';
CREATE FUNCTION cast_mood(text) RETURNS mood LANGUAGE plpgsql AS
$$BEGIN ALTER TABLE sec.audited_audit DISABLE TRIGGER ffstorage_read_only; RETURN 'one'; END$$;
CREATE CAST (text AS mood) WITH FUNCTION cast_mood(text);
ALTER TABLE typed ALTER COLUMN m TYPE mood USING NULL;
DROP CAST (text AS mood);
-- entries are of rows that came in, once each
CREATE TRIGGER forged BEFORE INSERT ON audited FOR EACH ROW WHEN (ffstorage.is_new_row(NEW.*)) EXECUTE FUNCTION nothing();
CREATE TRIGGER forged_too AFTER UPDATE ON audited FOR EACH ROW WHEN (ffstorage.is_new_row(NEW.*)) EXECUTE FUNCTION nothing();
CREATE TRIGGER forged_again AFTER INSERT ON audited FOR EACH ROW WHEN (ffstorage.is_new_row(NEW.*)) EXECUTE FUNCTION nothing();
INSERT INTO audited VALUES (3, 'three');
UPDATE audited SET value = 'drei' WHERE id = 3;
SELECT operation, field_name FROM audited_audit WHERE id = 3 ORDER BY entry_id;
-- a tenant column that comes later is filled in without opening what is append only
ALTER TABLE audited ADD COLUMN tenant text NOT NULL DEFAULT 'a';
SELECT ffs_manage('audited', 'copy_on_change', 'tenant');
BEGIN;
SELECT ffs_set_tenant('a');
SELECT count(*) > 0 AS some, count(*) FILTER (WHERE tenant IS NULL) AS without FROM audited_audit;
ROLLBACK;
DELETE FROM audited_audit;

RESET ROLE;
DROP SCHEMA sec CASCADE;
REVOKE CREATE ON DATABASE :DBNAME FROM sec_owner;
DROP OWNED BY sec_app;
DROP ROLE sec_app;
DROP ROLE sec_owner;
DROP EXTENSION ffstorage;
