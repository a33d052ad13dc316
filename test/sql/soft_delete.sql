-- Deleted rows and what comes back: restores in every order, stamps that a
-- statement supplies, what stands beside; the laws after each.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
\getenv srcdir PG_ABS_SRCDIR
\set ECHO none
\set file :srcdir '/laws.sql'
\ir :file
\set ECHO all
CREATE TABLE sd (id integer PRIMARY KEY, v integer, u text UNIQUE, gen integer GENERATED ALWAYS AS (v * 2) STORED);
CREATE TABLE sd_child (id integer PRIMARY KEY, sd_id integer REFERENCES sd ON DELETE CASCADE ON UPDATE CASCADE);
SELECT ffs_manage('sd', strategy => 'scd2', soft_delete => true), ffs_manage('sd_child', strategy => 'copy_on_change', soft_delete => true);
INSERT INTO sd (id, v, u) VALUES (1, 0, 'a'), (2, 0, 'b'), (3, 0, 'c');
INSERT INTO sd_child VALUES (10, 1), (11, 1), (12, 2);

-- there and back
UPDATE sd SET v = 1 WHERE id = 1;
DELETE FROM sd WHERE id = 1 RETURNING id, v, u;
SELECT id, v, u, gen, version, deleted_by = session_user AS by_me FROM sd_deleted;
SELECT id FROM sd_with_deleted ORDER BY id;
SELECT id, sd_id FROM sd_child_deleted ORDER BY id;
SELECT ffs_restore('sd', 1);
SELECT id, v, u, gen, version FROM sd WHERE id = 1;
SELECT version, operation, row_data->>'v' AS v FROM ffs_history('sd', 1);
SELECT ffs_restore('sd', 1), ffs_restore('sd', 99);
SELECT ffs_restore('sd_child', 10), ffs_restore('sd_child', 11);
SELECT laws_all();

-- twice deleted: the latest comes back first
DELETE FROM sd WHERE id = 2; INSERT INTO sd (id, v) VALUES (2, 20); DELETE FROM sd WHERE id = 2;
SELECT ffs_restore('sd', 2);
SELECT v, version FROM sd WHERE id = 2;
SELECT ffs_restore('sd', 2);
DELETE FROM sd WHERE id = 2;
SELECT ffs_restore('sd', 2);
SELECT v, version FROM sd WHERE id = 2;
SELECT laws_all();

-- a life between, which a change of the key ended: the old one goes on with its own number
DELETE FROM sd WHERE id = 3;
INSERT INTO sd (id, v) VALUES (3, 30); UPDATE sd SET v = 31 WHERE id = 3; UPDATE sd SET v = 32 WHERE id = 3; UPDATE sd SET id = 33 WHERE id = 3;
SELECT ffs_restore('sd', 3);
SELECT id, v, version FROM sd WHERE id IN (3, 33) ORDER BY id;
SELECT version, operation, row_data->>'id' AS id, row_data->>'v' AS v FROM ffs_history('sd', 3);
SELECT laws_all();

-- what stands in the way
DELETE FROM sd WHERE id = 3; INSERT INTO sd (id, v, u) VALUES (4, 40, 'c');
SELECT ffs_restore('sd', 3);
UPDATE sd SET u = NULL WHERE id = 4;
SELECT ffs_restore('sd', 3);
DELETE FROM sd WHERE id = 4; INSERT INTO sd (id, v) VALUES (4, 41);
SELECT ffs_restore('sd', 4);
SELECT laws_all();

-- in one transaction
BEGIN; INSERT INTO sd (id, v) VALUES (5, 50); DELETE FROM sd WHERE id = 5; SELECT ffs_restore('sd', 5); COMMIT;
SELECT v, version FROM sd WHERE id = 5;
BEGIN; INSERT INTO sd (id, v) VALUES (6, 60); DELETE FROM sd WHERE id = 6; COMMIT;
SELECT count(*) FROM sd_history WHERE id = 6;
SELECT ffs_restore('sd', 6);
SELECT v, version FROM sd WHERE id = 6;
BEGIN; UPDATE sd SET v = 51 WHERE id = 5; DELETE FROM sd WHERE id = 5; COMMIT;
SELECT ffs_restore('sd', 5);
SELECT v, version FROM sd WHERE id = 5;
BEGIN; DELETE FROM sd WHERE id = 5; SAVEPOINT a; SELECT ffs_restore('sd', 5); ROLLBACK TO a; COMMIT;
SELECT count(*) FROM sd WHERE id = 5;
BEGIN; SELECT ffs_restore('sd', 5); UPDATE sd SET v = 52 WHERE id = 5; DELETE FROM sd WHERE id = 5; SELECT ffs_restore('sd', 5); COMMIT;
SELECT v, version FROM sd WHERE id = 5;
SELECT laws_all();

-- expected versions
SELECT ffs_delete('sd', '{"id": 5, "expected_version": 77}'::jsonb);
SELECT version AS v5 FROM sd WHERE id = 5 \gset
SELECT ffs_delete('sd', jsonb_build_object('id', 5, 'expected_version', :v5));
SELECT ffs_restore('sd', '{"id": 5, "expected_version": 77}'::jsonb);
SELECT ffs_restore('sd', jsonb_build_object('id', 5, 'expected_version', :v5));

-- TRUNCATE is a deletion of all
TRUNCATE sd CASCADE;
SELECT count(*) FROM sd_history WHERE end_operation = 'truncate';
SELECT ffs_restore('sd', 1), ffs_restore('sd_child', 10);
SELECT version, operation FROM ffs_history('sd', 1) ORDER BY valid_from, version;
SELECT laws_all();

-- values that a statement supplies for stamp columns are ignored
INSERT INTO sd (id, v, version, valid_from, transaction_id, created_at, created_by, updated_at, updated_by)
VALUES (7, 70, 42, '2001-01-01', '5', '2001-01-01', 'mallory', 'infinity', 'mallory');
UPDATE sd SET v = 71, version = version + 40, valid_from = '2001-01-01', created_by = 'mallory', created_at = NULL, updated_by = NULL WHERE id = 7 RETURNING version;
UPDATE sd SET version = 99, updated_at = NULL, created_at = NULL WHERE id = 7 RETURNING version;
UPDATE sd SET v = 72, version = version + 1 WHERE id = 7 AND version = 2 RETURNING version;
UPDATE sd SET v = 73, version = version + 1 WHERE id = 7 AND version = 2 RETURNING version;
INSERT INTO sd (id, version, created_by) VALUES (7, 1, 'mallory') ON CONFLICT (id) DO UPDATE SET v = 74, version = EXCLUDED.version, created_by = EXCLUDED.created_by RETURNING version;
SELECT version, v, created_by = session_user AS by_me, updated_by = session_user AS by_me_too, valid_from > now() - interval '1 hour' AS of_now, created_at <= updated_at AS in_order FROM sd_versions WHERE id = 7 ORDER BY version;
COPY sd (id, v, version, valid_from) FROM PROGRAM 'printf "8\t80\t13\t2001-01-01\n"';
SELECT version, valid_from > now() - interval '1 hour' AS of_now FROM sd WHERE id = 8;
SELECT laws_all();

-- what stands beside is append only, even for its owner
CREATE ROLE sd_owner;
ALTER TABLE sd OWNER TO sd_owner;
SET ROLE sd_owner;
DELETE FROM sd_history;
UPDATE sd_deleted SET v = 0;
INSERT INTO sd_deleted SELECT * FROM sd_deleted;
TRUNCATE sd_history;
UPDATE sd_versions SET v = 0;
UPDATE sd_with_deleted SET v = 0;
UPDATE sd SET v = 75 WHERE id = 7;
RESET ROLE;
ALTER TABLE sd OWNER TO CURRENT_USER;
DROP ROLE sd_owner;
SELECT laws_all();

DROP TABLE sd_child, sd CASCADE;
DROP EXTENSION ffstorage;
