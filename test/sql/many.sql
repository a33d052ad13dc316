-- Many rows by key: ffs_update_many, ffs_delete_many, ffs_restore_many, ffs_get_many.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE EXTENSION ffstorage;
\getenv srcdir PG_ABS_SRCDIR
\set ECHO none
\set file :srcdir '/laws.sql'
\ir :file
\set ECHO all
CREATE SCHEMA many;
SET search_path = many, public;

-- An error, whole: SQLSTATE, message, DETAIL, HINT.
CREATE FUNCTION fails(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE command;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN format(E'%s %s\n  %s\n  %s', SQLSTATE, SQLERRM, regexp_replace(detail, 'row contains .*', 'row contains ...'), hint);
END $$;

\pset format unaligned
\pset tuples_only on

CREATE TABLE items (id integer PRIMARY KEY, v text, n integer CHECK (n < 1000), u integer UNIQUE, seq integer GENERATED ALWAYS AS IDENTITY, twice integer GENERATED ALWAYS AS (n * 2) STORED, tags text[], expected text);
SELECT ffs_manage('items', 'scd2', soft_delete => true);
INSERT INTO items (id, v, n, u) SELECT i, 'v' || i, i, i FROM generate_series(1, 50) i;

\echo == update
SELECT * FROM ffs_update_many('items', '[{"id": 3, "v": "c"}, {"id": 1, "n": 100, "tags": ["x", "y"]}, {"id": 2, "v": null, "n": null, "expected_version": 1}, {"id": 4}]');
SELECT id, v, n, twice, tags, version FROM items WHERE id < 5 ORDER BY id;
-- the rows name different columns, or none at all
SELECT action, count(*) FROM ffs_update_many('items', '[{"id": 5}, {"id": 6, "expected_version": 1}]') GROUP BY 1;
SELECT action, count(*) FROM ffs_update_many('items', '[{"id": 5, "v": "five"}, {"id": 6, "n": 60}, {"id": 7}, {"id": 8, "expected": "e", "version": 77, "updated_by": "me"}]') GROUP BY 1;
SELECT id, v, n, expected, version, updated_by FROM items WHERE id BETWEEN 5 AND 8 ORDER BY id;
SELECT * FROM ffs_update_many('items', '[]');
SELECT * FROM ffs_update_many('items', '[
  {"id": 9, "v": "nine"}, {"id": 99, "v": "x"}, {"id": 10, "expected_version": 2, "v": "x"}, {"id": 11, "n": 5000}, {"id": 12, "u": 13}, {"id": "13", "v": "thirteen"},
  {"v": "x"}, {"id": null}, {"id": 14, "nosuch": 1}, {"id": 15, "n": "x"}, {"id": 16, "seq": 1}, {"id": 17, "twice": 1}, {"id": 9, "v": "again"}, 5, null, [], {"id": 18, "expected_version": "1"}, {"id": 19, "expected_version": null, "v": "nineteen"}, {"id": 9.0, "v": "again"}, {"id": "x"}
]', 'report');
SELECT id, v, n, u, version FROM items WHERE id BETWEEN 9 AND 19 ORDER BY id;
-- the same in batches of any size
SELECT string_agg(DISTINCT r, ', ') FROM generate_series(1, 8) s, LATERAL (SELECT md5(string_agg(u::text, ' ')) FROM ffs_update_many('items', '[
  {"id": 20, "v": "x"}, {"id": 99, "v": "x"}, {"id": 11, "n": 5000}, {"id": 12, "u": 13}, {"id": 9, "v": "nine"}, {"id": 9, "v": "again"}, {"id": 14, "nosuch": 1}, {"id": 5}]', 'report', s) u) x (r) HAVING count(DISTINCT r) > 1;
SELECT fails($$SELECT ffs_update_many('items', '[{"id": 21, "v": "x"}, {"id": 99, "v": "x"}]')$$);
SELECT fails($$SELECT ffs_update_many('items', '[{"id": 21, "v": "x"}, {"id": 22, "expected_version": 5}]', 'abort', 1)$$);
SELECT fails($$SELECT ffs_update_many('items', '[{"id": 21, "v": "x"}, {"id": 21, "v": "y"}]')$$);
SELECT fails($$SELECT ffs_update_many('items', '[{"id": 21, "n": 5000}]')$$);
SELECT fails($$SELECT ffs_update_many('items', '[{"id": 21, "n": "x"}]')$$);
SELECT fails($$SELECT ffs_update_many('items', '{"id": 21}')$$);
SELECT fails($$SELECT ffs_update_many('items', NULL)$$);
SELECT fails($$SELECT ffs_update_many('items', '[]', 'ignore')$$);
SELECT fails($$SELECT ffs_update_many('items', '[]', 'report', 0)$$);
SELECT fails($$SELECT ffs_update_many('pg_class', '[]')$$);
SELECT v, version FROM items WHERE id = 21;

\echo == delete and restore
SELECT * FROM ffs_delete_many('items', '[30, "31", {"id": 32}, {"id": 33, "expected_version": 1}, 99]');
SELECT * FROM ffs_delete_many('items', '[34, 34, {"id": 35, "expected_version": 7}, {"id": 98, "expected_version": 7}, {"id": 36, "v": 1}, {}, null, "x", [1], {"id": 37, "expected_version": "x"}, 30, {"id": 36, "cascade": true}]', 'report');
SELECT * FROM ffs_update_many('items', '[{"id": 30, "v": "x"}]', 'report');
SELECT fails($$SELECT ffs_delete_many('items', '[40, {"id": 35, "expected_version": 7}]')$$);
SELECT count(*), (SELECT count(*) FROM items_deleted) FROM items WHERE id BETWEEN 30 AND 40;
INSERT INTO items (id, u) VALUES (32, 32), (60, 33);
SELECT * FROM ffs_restore_many('items', '[33, 30, {"id": 31, "expected_version": 1, "cascade": true}, 32, 99, 31, {"id": 34, "expected_version": 4}, {"id": 34, "expected_version": "x"}]', 'report');
SELECT id, v, n, u, seq, version FROM items WHERE id BETWEEN 30 AND 34 ORDER BY id;
SELECT fails($$SELECT ffs_restore_many('items', '[34, 32]')$$);
SELECT fails($$SELECT ffs_restore_many('items', '[{"id": 34, "expected_version": 4}]')$$);
SELECT count(*) FROM items_deleted;
SELECT * FROM ffs_restore_many('items', '[34]'), laws_all();
CREATE TABLE plain (id integer PRIMARY KEY);
SELECT ffs_manage('plain', stamps => false);
SELECT fails($$SELECT ffs_restore_many('plain', '[1]')$$);
SELECT fails($$SELECT ffs_update_many('plain', '[{"id": 1, "expected_version": 1}]')$$);
CREATE TABLE keyless (a integer);
SELECT ffs_manage('keyless');
SELECT fails($$SELECT ffs_update_many('keyless', '[{"a": 1}]')$$);
SELECT fails($$SELECT ffs_delete_many('keyless', '[1]')$$);

\echo == one version for a call, whatever the number of its batches
BEGIN;
SELECT count(*) FROM ffs_update_many('items', (SELECT jsonb_agg(jsonb_build_object('id', i, 'v', 'all')) FROM generate_series(40, 50) i), batch_size => 3);
SELECT count(*) FROM ffs_update_many('items', (SELECT jsonb_agg(jsonb_build_object('id', i, 'v', 'all ' || i)) FROM generate_series(40, 50) i));
SELECT count(*) FROM ffs_delete_many('items', '[40, 41, 42]', batch_size => 1);
SELECT count(*) FROM ffs_restore_many('items', '[40, 41]', batch_size => 1);
COMMIT;
SELECT id, v, version FROM items WHERE id BETWEEN 40 AND 44 ORDER BY id;
SELECT id, version, end_operation FROM items_history WHERE id BETWEEN 40 AND 44 ORDER BY id, version;
SELECT laws_all();

\echo == rows that refer to one another, whatever their keys
CREATE TABLE tree (id integer PRIMARY KEY, parent integer REFERENCES tree, CHECK (id <> 999));
SELECT ffs_manage('tree', 'copy_on_change', soft_delete => true);
INSERT INTO tree SELECT i, NULL FROM generate_series(1, 20) i;
UPDATE tree SET parent = 21 - id WHERE id < 11;
SELECT action, count(*) FROM ffs_delete_many('tree', (SELECT jsonb_agg(i) FROM generate_series(1, 20) i), batch_size => 3) GROUP BY 1;
SELECT action, count(*) FROM ffs_restore_many('tree', (SELECT jsonb_agg(i) FROM generate_series(1, 20) i), batch_size => 3) GROUP BY 1;
SELECT row_number, action, sqlstate FROM ffs_delete_many('tree', '[20, 19, 2]', 'report', 2);
SELECT fails($$SELECT ffs_delete_many('tree', '[18]')$$);
SELECT row_number, action, sqlstate FROM ffs_update_many('tree', '[{"id": 5, "parent": 77}, {"id": 6, "parent": 6}, {"id": 7, "parent": 1}]', 'report');
SELECT laws_all();

\echo == cascades
CREATE TABLE orders (id integer PRIMARY KEY, code text);
CREATE TABLE lines (order_id integer REFERENCES orders ON DELETE CASCADE, n integer, PRIMARY KEY (order_id, n));
CREATE TABLE notes (id integer PRIMARY KEY, order_id integer, n integer, FOREIGN KEY (order_id, n) REFERENCES lines ON DELETE CASCADE);
SELECT ffs_manage('orders', 'scd2', soft_delete => true), ffs_manage('lines', 'copy_on_change', soft_delete => true), ffs_manage('notes', soft_delete => true);
INSERT INTO orders SELECT i, 'o' || i FROM generate_series(1, 6) i;
INSERT INTO lines SELECT o, n FROM generate_series(1, 6) o, generate_series(1, 3) n;
INSERT INTO notes SELECT o * 10 + n, o, n FROM generate_series(1, 6) o, generate_series(1, 3) n;
DELETE FROM notes WHERE order_id = 1 AND n = 1;
SELECT action, count(*) FROM ffs_delete_many('orders', '[1, 2, 3, 4, 5]') GROUP BY 1;
INSERT INTO notes VALUES (22, 6, 1);
SELECT row_number, action, sqlstate, message FROM ffs_restore_many('orders', '[{"id": 1, "cascade": true}, {"id": 2, "cascade": true}, {"id": 3, "cascade": true}, 4, {"id": 5, "cascade": false}]', 'report');
SELECT o.id, (SELECT count(*) FROM lines WHERE order_id = o.id) AS lines, (SELECT count(*) FROM notes WHERE order_id = o.id) AS notes FROM orders o ORDER BY 1;
SELECT fails($$SELECT ffs_restore_many('orders', '[{"id": 2, "cascade": true}]')$$);
DELETE FROM notes WHERE id = 22;
SELECT action FROM ffs_restore_many('orders', '[{"id": 2, "cascade": true}]');
SELECT count(*) FROM notes WHERE order_id = 2;
-- what one transaction deleted twice under one key comes back once
BEGIN;
DELETE FROM lines WHERE order_id = 6 AND n = 1;
INSERT INTO lines VALUES (6, 1);
DELETE FROM orders WHERE id = 6;
COMMIT;
SELECT ffs_restore('orders', '{"id": 6, "cascade": true}'::jsonb);
SELECT string_agg(n::text, ' ' ORDER BY n) FROM lines WHERE order_id = 6;
SELECT laws_all();

\echo == composite keys, partitions, names, keys of other types
CREATE TABLE "Odd $1" ("Key %" integer, "select" text, at date, "ffs_feed" numeric, PRIMARY KEY ("select", at, "Key %")) PARTITION BY RANGE (at);
CREATE TABLE odd_2025 PARTITION OF "Odd $1" FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE odd_2026 ("ffs_feed" numeric, gone text, at date NOT NULL, "select" text NOT NULL, "Key %" integer NOT NULL);
ALTER TABLE odd_2026 DROP COLUMN gone;
ALTER TABLE "Odd $1" ATTACH PARTITION odd_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
SELECT ffs_manage('"Odd $1"', 'scd2', soft_delete => true);
INSERT INTO "Odd $1" SELECT i, 'a''b', date '2025-12-28' + i, i FROM generate_series(1, 8) i;
SELECT * FROM ffs_update_many('"Odd $1"', '[{"Key %": 1, "select": "a''b", "at": "2025-12-29", "ffs_feed": 10}, {"Key %": 5, "select": "a''b", "at": "2026-01-02", "ffs_feed": 50, "expected_version": 1}, {"Key %": 5, "select": "a", "at": "2026-01-02"}, {"Key %": 6, "at": "2026-01-03"}]', 'report');
SELECT * FROM ffs_update_many('odd_2026', '[{"Key %": 6, "select": "a''b", "at": "2026-01-03", "ffs_feed": 60}, {"Key %": 1, "select": "a''b", "at": "2025-12-29", "ffs_feed": 60}]', 'report');
SELECT * FROM ffs_delete_many('"Odd $1"', '[{"Key %": 1, "select": "a''b", "at": "2025-12-29"}, {"Key %": 5, "select": "a''b", "at": "2026-01-02", "expected_version": 2}, {"Key %": 1}]', 'report');
SELECT row_number, action, sqlstate FROM ffs_restore_many('odd_2026', '[{"Key %": 5, "select": "a''b", "at": "2026-01-02"}, {"Key %": 1, "select": "a''b", "at": "2025-12-29"}]', 'report');
SELECT tableoid::regclass, "Key %", ffs_feed, version FROM "Odd $1" ORDER BY 2;
SELECT "Key %" FROM ffs_get_many(NULL::"Odd $1", ARRAY['{"Key %": 5, "select": "a''b", "at": "2026-01-02"}', NULL, '{"Key %": 1, "select": "a''b", "at": "2025-12-29"}', '{"Key %": 5, "select": "a''b", "at": "2026-01-02"}', '{"Key %": 5, "select": "x", "at": "2026-01-02"}']::jsonb[]);
SELECT "Key %", ffs_feed FROM ffs_get_many(NULL::odd_2026, ARRAY['{"Key %": 5, "select": "a''b", "at": "2026-01-02"}', '{"Key %": 1, "select": "a''b", "at": "2025-12-29"}']::jsonb[]);
CREATE DOMAIN code AS varchar(5) CHECK (VALUE <> 'bad');
CREATE TABLE coded (c code PRIMARY KEY, v integer);
CREATE TABLE numbered (c numeric(6,2) PRIMARY KEY, v integer);
CREATE TABLE arrays (c integer[] PRIMARY KEY, v integer);
CREATE TABLE documents (c jsonb PRIMARY KEY, v integer);
SELECT ffs_manage('coded', 'scd2', soft_delete => true), ffs_manage('numbered', soft_delete => true), ffs_manage('arrays', soft_delete => true), ffs_manage('documents', soft_delete => true);
INSERT INTO coded VALUES ('a', 1), ('b', 1);
INSERT INTO numbered VALUES (1, 1), (2.5, 1);
INSERT INTO arrays VALUES ('{1,2}', 1), ('{}', 1);
INSERT INTO documents VALUES ('{"a": 1}', 1), ('[1]', 1), ('"s"', 1);
SELECT row_number, action, key, sqlstate FROM ffs_update_many('coded', '[{"c": "b", "v": 2}, {"c": "a", "v": 2}, {"c": "bad", "v": 2}, {"c": "too long", "v": 2}]', 'report');
SELECT row_number, action, key, sqlstate FROM ffs_delete_many('coded', '["b", "bad", "too long", {"c": "a"}]', 'report');
SELECT row_number, action, key, sqlstate FROM ffs_restore_many('coded', '["b", "bad"]', 'report');
SELECT row_number, action, key, sqlstate FROM ffs_update_many('numbered', '[{"c": 1.00, "v": 2}, {"c": 2.5, "v": 2}, {"c": 1, "v": 3}, {"c": 9, "v": 3}]', 'report');
SELECT row_number, action, key, sqlstate FROM ffs_delete_many('numbered', '[2.50, 1, 1.0]', 'report');
SELECT row_number, action, key, sqlstate FROM ffs_update_many('arrays', '[{"c": [1, 2], "v": 2}, {"c": [], "v": 2}, {"c": "{1,2}", "v": 3}]', 'report');
SELECT row_number, action, key, sqlstate FROM ffs_delete_many('arrays', '["{1,2}", {"c": "{}"}]', 'report');
SELECT row_number, action, key, sqlstate FROM ffs_delete_many('documents', '[{"a": 1}, {"c": [1]}, "s"]', 'report');
SELECT c, v FROM ffs_get_many(NULL::documents, ARRAY['{"a": 1}']::jsonb[]);
SELECT row_number, action, key, sqlstate FROM ffs_restore_many('documents', '[{"a": 1}, "s"]', 'report');
SELECT c FROM ffs_get_many(NULL::coded, ARRAY['b', NULL, 'b', 'x', 'a']);
SELECT c FROM ffs_get_many(NULL::documents, ARRAY['{"a": 1}', '"s"']::jsonb[]);
SELECT laws_all();

\echo == tenants
CREATE TABLE owned (id integer PRIMARY KEY, tenant_id integer NOT NULL, v text);
SELECT ffs_manage('owned', 'scd2', 'tenant_id', soft_delete => true);
CREATE ROLE regress_many;
CREATE FUNCTION tenants_of(text) RETURNS text LANGUAGE sql AS $$SELECT string_agg(row_number || ' ' || action || coalesce(' ' || sqlstate, ''), ', ') FROM ffs_update_many('owned', $1::jsonb, 'report')$$;
GRANT USAGE ON SCHEMA many TO regress_many;
GRANT SELECT, INSERT, UPDATE, DELETE ON owned TO regress_many;
INSERT INTO owned SELECT i, i % 2, 'v' FROM generate_series(1, 8) i;
SET ROLE regress_many;
SELECT fails($$SELECT ffs_update_many('owned', '[{"id": 1, "v": "x"}]', 'report')$$);
SELECT fails($$SELECT ffs_delete_many('owned', '[1]', 'report')$$);
SELECT fails($$SELECT ffs_restore_many('owned', '[1]', 'report')$$);
BEGIN;
SELECT ffs_set_tenant('1');
SELECT tenants_of('[{"id": 1, "v": "x"}, {"id": 2, "v": "x"}, {"id": 3, "tenant_id": 0}, {"id": 5, "tenant_id": 1, "v": "y"}]');
SELECT row_number, action, sqlstate FROM ffs_delete_many('owned', '[1, 2, 3]', 'report');
SELECT row_number, action, sqlstate FROM ffs_restore_many('owned', '[1, 2]', 'report');
SELECT string_agg(id::text, ' ') FROM ffs_get_many(NULL::owned, '{8,7,6,5,4,3,2,1}'::integer[]);
COMMIT;
RESET ROLE;
BEGIN;
SELECT ffs_set_tenant('1');
-- who sees all is told
SELECT tenants_of('[{"id": 1, "v": "x"}, {"id": 2, "v": "x"}, {"id": 5, "v": "y"}]');
SELECT row_number, action, sqlstate FROM ffs_delete_many('owned', '[1, 2, 5]', 'report');
COMMIT;
BEGIN;
SELECT ffs_set_tenant('0');
SELECT row_number, action, sqlstate FROM ffs_restore_many('owned', '[1, 2, 5]', 'report');
-- a key that two tenants had
COMMIT;
BEGIN;
SELECT ffs_set_tenant('1');
SELECT action FROM ffs_delete_many('owned', '[1]');
COMMIT;
BEGIN;
SELECT ffs_set_tenant('0');
SELECT ffs_create('owned', '{"id": 1, "v": "zero"}') ->> 'tenant_id';
SELECT ffs_delete('owned', 1);
COMMIT;
BEGIN;
SELECT ffs_set_tenant('1');
SELECT ffs_restore('owned', 1);
SELECT v, version FROM owned WHERE id = 1;
COMMIT;
SELECT id, tenant_id, v FROM owned_deleted ORDER BY id, tenant_id;
SELECT laws_all();

\echo == what the caller may do
CREATE TABLE ledger (id integer PRIMARY KEY, owner name DEFAULT current_user, amount integer, secret text);
SELECT ffs_manage('ledger', 'scd2', stamps => false, soft_delete => true);
INSERT INTO ledger SELECT i, CASE WHEN i % 2 = 0 THEN 'regress_many' ELSE 'x' END, i, 's' FROM generate_series(1, 8) i;
SET ROLE regress_many;
SELECT fails($$SELECT ffs_update_many('ledger', '[{"id": 1, "amount": 2}]', 'report')$$);
SELECT fails($$SELECT ffs_delete_many('ledger', '[1]', 'report')$$);
SELECT fails($$SELECT ffs_restore_many('ledger', '[1]', 'report')$$);
RESET ROLE;
GRANT SELECT (id, amount), UPDATE (amount) ON ledger TO regress_many;
SET ROLE regress_many;
SELECT row_number, action, sqlstate, message FROM ffs_update_many('ledger', '[{"id": 1, "amount": 10}, {"id": 2, "secret": "x"}, {"id": 3, "amount": 30}, {"id": 4, "amount": 5, "expected_version": 1}]', 'report');
SELECT fails($$SELECT ffs_update_many('ledger', '[{"id": 1, "amount": 10}, {"id": 2, "secret": "x"}]')$$);
RESET ROLE;
GRANT SELECT, UPDATE, DELETE, INSERT ON ledger TO regress_many;
ALTER TABLE ledger ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON ledger FOR SELECT USING (id < 8);
CREATE POLICY mine ON ledger FOR UPDATE USING (owner = current_user) WITH CHECK (amount < 100);
CREATE POLICY gone ON ledger FOR DELETE USING (owner = current_user);
CREATE POLICY new ON ledger FOR INSERT WITH CHECK (amount <> 6);
SET ROLE regress_many;
SELECT row_number, action, sqlstate, message FROM ffs_update_many('ledger', '[{"id": 1, "amount": 1}, {"id": 2, "amount": 2}, {"id": 4, "amount": 400}, {"id": 8, "amount": 1}]', 'report');
SELECT row_number, action, sqlstate, message FROM ffs_delete_many('ledger', '[1, 2, 6, 8]', 'report');
SELECT row_number, action, sqlstate, message FROM ffs_restore_many('ledger', '[1, 2, 6, 8]', 'report');
RESET ROLE;
CREATE FUNCTION stubborn() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF OLD.id = 3 THEN RETURN NULL; END IF; IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; NEW.secret := 'by trigger'; RETURN NEW; END$$;
CREATE TRIGGER stubborn BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION stubborn();
SELECT row_number, action, sqlstate, message FROM ffs_update_many('ledger', '[{"id": 3, "amount": 31}, {"id": 5, "amount": 51}]', 'report');
SELECT row_number, action, sqlstate, message FROM ffs_delete_many('ledger', '[3, 5]', 'report');
SELECT id, owner, amount, secret, version FROM ledger ORDER BY id;
SELECT laws_all();
CREATE RULE twice AS ON UPDATE TO plain DO ALSO SELECT 1;
INSERT INTO plain VALUES (1);
ALTER TABLE plain ADD COLUMN v integer;
SELECT fails($$SELECT ffs_update_many('plain', '[{"id": 1, "v": 1}]')$$);
BEGIN READ ONLY;
SELECT fails($$SELECT ffs_update_many('items', '[{"id": 1, "v": "x"}]', 'report')$$);
SELECT fails($$SELECT ffs_delete_many('items', '[1]', 'report')$$);
COMMIT;

\echo == settings of the planner, cancels, one in another
SET enable_nestloop = off;
SET enable_indexscan = off;
SET random_page_cost = 1000;
SET jit_above_cost = 0;
SELECT action, count(*) FROM ffs_update_many('items', (SELECT jsonb_agg(jsonb_build_object('id', i, 'u', 1000 + i)) FROM generate_series(1, 60) i), 'report', 7) GROUP BY 1 ORDER BY 1;
SELECT string_agg(id::text, ' ') FROM ffs_get_many(NULL::items, ARRAY[5, 3, 4, 99, 3]);
RESET enable_nestloop;
RESET enable_indexscan;
RESET random_page_cost;
RESET jit_above_cost;
SHOW enable_seqscan;
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(10); RETURN NEW; END$$;
CREATE TRIGGER slow BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION slow();
SET statement_timeout = '200ms';
SELECT ffs_update_many('items', '[{"id": 1, "v": "x"}]', 'report');
RESET statement_timeout;
DROP TRIGGER slow ON items;
CREATE FUNCTION nested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id < 10 THEN
        PERFORM ffs_update_many('items', jsonb_build_array(jsonb_build_object('id', NEW.id + 10, 'v', NEW.v), jsonb_build_object('id', 99)), 'report');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER nested AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION nested();
CREATE FUNCTION nested_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id < 10 THEN
        PERFORM ffs_update_many('items', jsonb_build_array(jsonb_build_object('id', NEW.id + 20, 'v', NEW.v), jsonb_build_object('id', NEW.id + 30, 'n', NEW.id), jsonb_build_object('id', 99)), 'report');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER nested_before BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION nested_before();
SELECT row_number, action, sqlstate FROM ffs_update_many('items', '[{"id": 1, "v": "n1"}, {"id": 2, "n": 5000}, {"id": 3, "n": 3}, {"id": 88, "v": "x"}, {"id": 4, "v": "n4"}]', 'report');
SELECT id, v, n FROM items WHERE id IN (1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24, 31, 32, 33, 34) ORDER BY id;
DROP TRIGGER nested ON items;
DROP TRIGGER nested_before ON items;
-- tables that change between calls
ALTER TABLE items ALTER COLUMN u TYPE bigint, DROP COLUMN tags;
SELECT action, count(*) FROM ffs_update_many('items', '[{"id": 1, "u": 5000000000}, {"id": 2, "v": "x"}]') GROUP BY 1;
SELECT laws_all();

\echo == many
CREATE TABLE lot (id integer PRIMARY KEY, v text CHECK (v <> 'bad'), n integer);
SELECT ffs_manage('lot', 'scd2', soft_delete => true);
INSERT INTO lot SELECT i, 'v', i FROM generate_series(1, 20000) i;
SET work_mem = '64kB';
SELECT action, sqlstate, count(*), min(row_number), max(row_number) FROM ffs_update_many('lot', (SELECT jsonb_agg(jsonb_build_object('id', CASE WHEN i % 1000 = 999 THEN -i ELSE i END, 'v', CASE WHEN i % 1000 = 500 THEN 'bad' ELSE 'w' END) || CASE WHEN i % 1000 = 77 THEN '{"nosuch": 1}' WHEN i % 1000 = 78 THEN '{"id": "x"}' ELSE '{}' END::jsonb ORDER BY md5(i::text)) FROM generate_series(1, 20000) i), 'report') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT v, version, count(*) FROM lot GROUP BY 1, 2 ORDER BY 1, 2;
SELECT action, count(*) FROM ffs_delete_many('lot', (SELECT jsonb_agg(i ORDER BY md5(i::text)) FROM generate_series(1, 20000) i), 'report') GROUP BY 1;
SELECT action, count(*) FROM ffs_restore_many('lot', (SELECT jsonb_agg(i ORDER BY md5(i::text)) FROM generate_series(1, 20000, 2) i), 'report') GROUP BY 1;
SELECT bool_and(row_number = n) FROM (SELECT row_number, row_number() OVER () AS n FROM ffs_update_many('lot', (SELECT jsonb_agg(jsonb_build_object('id', i, 'n', 0) ORDER BY md5(i::text)) FROM generate_series(1, 20000, 2) i))) x;
SELECT count(*), sum(n) FROM lot;
RESET work_mem;
SELECT laws_all();

\echo == keys of array and row types, in the form in which results give them
CREATE DOMAIN filled AS integer NOT NULL;
CREATE TYPE spot AS (x integer, y text);
CREATE TABLE listed (id integer[] PRIMARY KEY, v text, f filled DEFAULT 1);
CREATE TABLE spots (id spot, line integer, v text, PRIMARY KEY (id, line));
SELECT ffs_manage('listed', 'scd2', soft_delete => true), ffs_manage('spots', 'copy_on_change', soft_delete => true);
INSERT INTO listed VALUES ('{1,2}', 'a'), ('{3}', 'b');
INSERT INTO spots VALUES ('(1,b)', 7, 'a');
SELECT action, key, sqlstate, message FROM ffs_update_many('listed', '[{"id": [1, 2], "v": "c"}]', 'report');
SELECT action, key, sqlstate, message FROM ffs_delete_many('listed', '[{"id": [1, 2]}, {"id": "{3}"}, {"id": [4]}, {"id": {"a": 1}}, {"id": ["x"]}, {"id": [[1, 2]]}, {"id": [1, 2]}]', 'report');
SELECT action, key, sqlstate, message FROM ffs_restore_many('listed', '[{"id": [1, 2]}, {"id": [3]}]', 'report');
SELECT id, v FROM listed ORDER BY id;
SELECT ffs_delete('spots', '{"id": {"x": 1, "y": "b"}, "line": 7}'::jsonb), ffs_restore('spots', '{"line": 7, "id": {"y": "b", "x": 1}}'::jsonb);
SELECT id, line, v FROM ffs_get(NULL::spots, '{"id": {"x": 1, "y": "b"}, "line": 7}'::jsonb);
SELECT laws_all();

\pset format aligned
\pset tuples_only off
SELECT ffs_unmanage_all();
SET client_min_messages = error;
DROP SCHEMA many CASCADE;
DROP EXTENSION ffstorage CASCADE;
DROP FUNCTION public.laws, public.laws_all, public.laws_state;
DROP ROLE regress_many;
