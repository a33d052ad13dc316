-- Rows by key and many at a time.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
CREATE EXTENSION ffstorage;
CREATE SCHEMA batch;
SET search_path = batch, public;

CREATE FUNCTION the_tenant(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid$$;
CREATE FUNCTION id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$SELECT ('10000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid$$;

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
    RETURN format(E'%s %s\n  %s\n  %s', SQLSTATE, SQLERRM, regexp_replace(detail, 'row contains .*', 'row contains …'), hint);
END $$;

\pset format unaligned
\pset tuples_only on

\echo == 100,000 rows, 37 of them bad
CREATE TABLE contracts (
    id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    customer  text NOT NULL,
    value     numeric CHECK (value < 1000000),
    signed    date,
    n         integer DEFAULT 7,
    note      text);
SELECT ffs_manage('contracts', strategy => 'scd2', tenant_column => 'tenant_id', soft_delete => true);

CREATE TABLE input AS
SELECT i AS row_number,
       CASE WHEN i % 2701 = 0 THEN i / 2701 % 6 END AS kind,
       jsonb_build_object('id', id(i), 'customer', 'Customer ' || i, 'value', i * 1.25, 'signed', '2026-01-15') AS data
FROM generate_series(1, 100000) i;
UPDATE input SET data = CASE kind
    WHEN 0 THEN data || '{"value": "much"}'
    WHEN 1 THEN data || '{"customer": null}'
    WHEN 2 THEN data || jsonb_build_object('id', id(row_number - 1))
    WHEN 3 THEN data || '{"value": 1000001}'
    WHEN 4 THEN data || '{"amount": 1}'
    ELSE data || jsonb_build_object('tenant_id', the_tenant(2)) END
WHERE kind IS NOT NULL;
SELECT count(*), count(kind) FROM input;

BEGIN;
SELECT ffs_set_tenant(the_tenant(1)::text);
CREATE TEMP TABLE result ON COMMIT DROP AS
SELECT r.* FROM (SELECT jsonb_agg(data ORDER BY row_number) AS rows FROM input) i,
    ffs_create_many('contracts', i.rows, on_error => 'report') r;
SELECT action, count(*), count(key) AS keys, count(sqlstate) AS states, count(message) AS messages
FROM result GROUP BY action ORDER BY action;
SELECT sqlstate, count(*), min(row_number), max(row_number), min(message) FROM result
WHERE action = 'rejected' GROUP BY sqlstate, message ORDER BY 1, 5;
-- exactly those, in order, and the good rows are there
SELECT count(*) FROM result r JOIN input i USING (row_number) WHERE (i.kind IS NOT NULL) <> (r.action = 'rejected');
SELECT bool_and(row_number = n) FROM (SELECT row_number, row_number() OVER () AS n FROM result) r;
SELECT count(*), count(DISTINCT tenant_id), min(version), max(version), count(DISTINCT valid_from), min(n) FROM contracts;
SELECT count(*) FROM result r JOIN contracts c ON c.id = (r.key ->> 'id')::uuid WHERE r.action = 'inserted';
ROLLBACK;

BEGIN;
SELECT ffs_set_tenant(the_tenant(1)::text);
-- abort: nothing goes in, and the error names the first bad row
SELECT fails($$SELECT count(*) FROM ffs_create_many('contracts', (SELECT jsonb_agg(data ORDER BY row_number) FROM input))$$);
SELECT fails($$SELECT count(*) FROM ffs_create_many('contracts', (SELECT jsonb_agg(data ORDER BY row_number) FROM input WHERE row_number > 8102 AND kind IS DISTINCT FROM 1))$$);
SELECT count(*) FROM contracts;
-- batches of other sizes give the same
SELECT batch_size, (SELECT count(*) FILTER (WHERE action = 'inserted') || '/' || count(*) FILTER (WHERE action = 'rejected')
                    FROM ffs_create_many('contracts', i.rows, 'error', 'report', batch_size))
FROM (SELECT jsonb_agg(data - 'id' ORDER BY row_number) AS rows FROM input WHERE row_number BETWEEN 2600 AND 2800) i,
     unnest('{1, 2, 7, 100, 2147483647}'::integer[]) batch_size;
COMMIT;

\echo == no tenant, no rows
CREATE ROLE regress_batch_writer;
GRANT USAGE ON SCHEMA batch TO regress_batch_writer;
GRANT INSERT, SELECT ON contracts TO regress_batch_writer;
SET ROLE regress_batch_writer;
SELECT fails($$SELECT ffs_create_many('contracts', '[{"customer": "x"}]', on_error => 'report')$$);
RESET ROLE;

\echo == arguments
CREATE TABLE plain (id integer PRIMARY KEY);
SELECT fails($$SELECT ffs_create_many('plain', '[]')$$);
SELECT fails($$SELECT ffs_create_many(NULL, '[]')$$);
SELECT fails($$SELECT ffs_create_many('contracts', NULL)$$);
SELECT fails($$SELECT ffs_create_many('contracts', '{"customer": "x"}')$$);
SELECT fails($$SELECT ffs_create_many('contracts', '"x"')$$);
SELECT fails($$SELECT ffs_create_many('contracts', '[]', on_conflict => 'merge')$$);
SELECT fails($$SELECT ffs_create_many('contracts', '[]', on_error => 'ignore')$$);
SELECT fails($$SELECT ffs_create_many('contracts', '[]', on_conflict => NULL)$$);
SELECT fails($$SELECT ffs_create_many('contracts', '[]', batch_size => 0)$$);
SELECT fails($$SELECT ffs_create_many('contracts', '[]', batch_size => NULL)$$);
SELECT fails($$SELECT ffs_create_many('contracts', '[]', 'skip', conflict_columns => '{customer}')$$);
SELECT fails($$SELECT ffs_create_many('contracts', '[]', 'skip', conflict_columns => '{nosuch}')$$);
SELECT fails($$SELECT ffs_create_many('contracts', '[]', 'skip', conflict_columns => '{}')$$);
SELECT count(*) FROM ffs_create_many('contracts', '[]');

\echo == conflicts
CREATE TABLE items (id integer PRIMARY KEY, code text UNIQUE, a integer DEFAULT 1, b text DEFAULT 'b');
SELECT ffs_manage('items', strategy => 'scd2');
SELECT * FROM ffs_create_many('items', '[{"id": 1, "code": "x"}, {"id": 2, "code": "y", "a": null}, {"id": 3}]');
SELECT * FROM ffs_create_many('items', '[{"id": 1, "a": 10}, {"id": 4}, {"id": 2, "b": "new"}, {"id": 1, "a": 11}]', 'update', 'report');
SELECT * FROM ffs_create_many('items', '[{"id": 3, "a": 10}, {"id": 5}, {"id": 3}]', 'skip', 'report');
SELECT * FROM ffs_create_many('items', '[{"id": 3, "a": 10}, {"id": 6, "code": "y"}, {"id": 7}]', 'error', 'report');
SELECT * FROM ffs_create_many('items', '[{"id": 8, "code": "y", "a": 5}, {"id": 9, "code": "z"}, {"id": 10, "code": "z"}]', 'update', 'report', conflict_columns => '{code}');
SELECT * FROM ffs_create_many('items', '[{"id": 3}]', 'update');
SELECT id, code, a, b, version FROM items ORDER BY id;
SELECT fails($$SELECT ffs_create_many('items', '[{"id": 20}, {"id": 21}, {"id": 20}]')$$);
SELECT count(*) FROM items WHERE id >= 20;
-- stamps are ours
SELECT * FROM ffs_create_many('items', '[{"id": 30, "version": 9, "created_by": "me"}]');
SELECT id, version, created_by = session_user FROM items WHERE id = 30;
DELETE FROM items;

\echo == errors that come after the row: foreign keys, and rows that lean on each other
CREATE TABLE parts (id integer PRIMARY KEY, item integer REFERENCES items (id) ON DELETE CASCADE, parent integer REFERENCES parts (id));
SELECT ffs_manage('parts', soft_delete => true);
INSERT INTO items SELECT generate_series(1, 3);
SELECT * FROM ffs_create_many('parts', '[{"id": 21, "item": 1, "parent": 24}, {"id": 22, "item": 9}, {"id": 23, "parent": 22}, {"id": 24, "parent": 21}, {"id": 25, "parent": 23}, {"id": 26, "parent": 27}, {"id": 27}]', on_error => 'report');
SELECT fails($$SELECT ffs_create_many('parts', '[{"id": 31, "parent": 33}, {"id": 32, "item": 9}, {"id": 33}]')$$);
SELECT * FROM ffs_create_many('parts', '[{"id": 1, "item": 1, "parent": 3}, {"id": 2, "item": 9}, {"id": 3, "item": 3}, {"id": 4, "item": "x"}]', on_error => 'report');
SELECT action, count(*) FROM ffs_create_many('parts', (SELECT jsonb_agg(jsonb_build_object('id', i, 'item', CASE WHEN i IN (150, 777, 1320) THEN 99 ELSE 1 END)) FROM generate_series(100, 1500) i), on_error => 'report') GROUP BY action ORDER BY action;
SELECT fails($$SELECT ffs_create_many('parts', '[{"id": 11, "item": 1}, {"id": 12, "item": 99}, {"id": 13, "item": "x"}]')$$);

\echo == triggers that say no
CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 51 THEN RETURN NULL; END IF;
    IF NEW.id = 52 THEN RAISE 'not this one' USING ERRCODE = 'P0007'; END IF;
    IF NEW.id = 53 THEN RAISE 'try again' USING ERRCODE = '40001'; END IF;
    NEW.b := NEW.b || '!';
    RETURN NEW;
END $$;
CREATE TRIGGER picky BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION picky();
SELECT * FROM ffs_create_many('items', '[{"id": 50}, {"id": 51}, {"id": 52}, {"id": 54}]', on_error => 'report');
SELECT ffs_create('items', '{"id": 51}') IS NULL;
SELECT fails($$SELECT ffs_create_many('items', '[{"id": 55}, {"id": 53}]', on_error => 'report')$$);
DROP TRIGGER picky ON items;

\echo == types
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (x integer, y text[]);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN few AS integer[] NOT NULL CHECK (cardinality(VALUE) < 4);
CREATE TABLE types (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, s smallint, i integer, b bigint, f4 real, f8 double precision, n numeric(6, 2),
    t text, v varchar(5), c char(3), bo boolean, m mood, p pair, ps pair[], d positive, a integer[], a2 text[][], so few DEFAULT '{1}',
    j json, jb jsonb, ts timestamptz, da date, iv interval, by bytea, r int4range, x xml,
    twice integer GENERATED ALWAYS AS (i * 2) STORED, always integer GENERATED ALWAYS AS IDENTITY);
ALTER TABLE types DROP COLUMN x;
SELECT ffs_manage('types', stamps => false);
SELECT * FROM ffs_create_many('types', '[
  {"s": -32768, "i": -5, "b": 9007199254740993, "f4": 1.5, "f8": 16777217, "n": 1.005, "t": "té\"x\\", "v": "abcde", "c": "a", "bo": true, "m": "happy",
   "p": {"x": 1, "y": ["a", null]}, "ps": [{"x": 2}, null], "d": 5, "a": [1, null, 3], "a2": [["a"], ["b"]], "j": {"k": [1, "2"]}, "jb": {"k": null},
   "ts": "2026-01-01 00:00:00+02", "da": "2026-02-03", "iv": "1 day", "by": "\\x00ff", "r": "[1,5)"},
  {"id": 77, "s": "3", "i": "4", "n": "5.5", "t": 12.50, "v": true, "bo": "yes", "p": "(7,{q})", "a": "{4,5}", "j": "str", "jb": "str", "f8": "NaN"},
  {"t": {"an": ["object"]}, "so": [1, 2], "jb": [1], "j": 5, "f8": 1e300, "b": 10000000000000000, "i": 10000, "n": 0},
  {}
]');
SELECT to_jsonb(r.*) FROM types r ORDER BY always;
-- what jsonb_populate_record() makes of the same
CREATE TABLE given AS SELECT rows FROM (VALUES ('[
  {"id": 101, "s": 7, "n": 3.14159, "t": 1e3, "v": false, "a": [[1, 2], [3, 4]], "ts": "2026-03-01T12:30:45.123456-03:30", "da": "2024-02-29"},
  {"id": 102, "s": "-7", "f4": -16777216, "f8": 123456789012345678, "n": 1234.5, "t": null, "ps": [{"y": []}], "ts": "2026-03-01 12:30:45 America/New_York", "da": "20240229"},
  {"id": 103, "b": -9223372036854775808, "f8": 0.1, "n": "1e2", "t": "", "m": "sad", "ts": "2026-03-01 12:30", "da": "March 5, 2026"},
  {"id": 104, "b": "12", "f4": "-Infinity", "n": 0, "bo": "f", "j": null, "jb": null, "ts": "infinity", "da": "0044-03-15 BC"}]'::jsonb)) v (rows);
SELECT action, count(*) FROM given, ffs_create_many('types', rows) GROUP BY action ORDER BY action;
SELECT r.id, to_jsonb(r.*) - '{so,twice,always}'::text[] = to_jsonb(p.*) - '{so,twice,always}'::text[] AS same
FROM given, jsonb_array_elements(rows) e, jsonb_populate_record(NULL::types, e || '{"so": [1]}') p JOIN types r USING (id) ORDER BY 1;
SELECT row_number, sqlstate, message FROM ffs_create_many('types', '[
  {"i": 2147483648}, {"i": 1.5}, {"s": 40000}, {"b": 1e30}, {"f4": 1e300}, {"n": 100000}, {"v": "abcdef"}, {"m": "angry"}, {"bo": 2}, {"d": -1}, {"d": 1.5},
  {"a": ["x"]}, {"a": {"k": 1}}, {"p": {"x": "q"}}, {"p": [1]}, {"so": null}, {"so": [1, 2, 3, 4]}, {"ts": "never"}, {"twice": 3}, {"always": 3}
]', on_error => 'report');

\echo == names, composite keys, other relations
CREATE SCHEMA "Odd ""Schema""";
CREATE TABLE "Odd ""Schema"""."Odd $1 table" ("Key %" integer, "select" text, "ffs_row" numeric DEFAULT 3, "ffs_target" text, "é" integer, PRIMARY KEY ("select", "Key %"));
SELECT ffs_manage('"Odd ""Schema"""."Odd $1 table"', 'scd2', soft_delete => true);
SELECT * FROM ffs_create_many('"Odd ""Schema"""."Odd $1 table"', '[{"Key %": 1, "select": "a''b", "é": 1}, {"Key %": 2, "select": "a''b", "ffs_target": "t"}]');
SELECT * FROM ffs_create_many('"Odd ""Schema"""."Odd $1 table"', '[{"Key %": 1, "select": "a''b", "é": 2}, {"Key %": 2, "select": "a''b", "ffs_target": "u"}]', 'update');
SELECT "Key %", "select", ffs_row, ffs_target, "é" FROM ffs_get(NULL::"Odd ""Schema"""."Odd $1 table", 'a''b'::text, 1);
SELECT "Key %", ffs_target FROM ffs_get_many(NULL::"Odd ""Schema"""."Odd $1 table", ARRAY['{"select": "a''b", "Key %": 2}', '{"select": "a''b", "Key %": 1}', '{"select": "", "Key %": 1}']::jsonb[]);
SELECT ffs_update('"Odd ""Schema"""."Odd $1 table"', '{"Key %": 2, "select": "a''b", "é": 5}', 2) - '{created_at,updated_at,valid_from,transaction_id,created_by,updated_by}'::text[];
SELECT ffs_delete('"Odd ""Schema"""."Odd $1 table"', 'a''b'::text, 2), ffs_restore('"Odd ""Schema"""."Odd $1 table"', '{"Key %": 2, "select": "a''b"}'::jsonb);
SELECT fails($$SELECT ffs_get(NULL::"Odd ""Schema"""."Odd $1 table", 'a''b'::text)$$);
SELECT fails($$SELECT ffs_get(NULL::"Odd ""Schema"""."Odd $1 table", '{"select": "a"}'::jsonb)$$);
SELECT fails($$SELECT ffs_get_many(NULL::"Odd ""Schema"""."Odd $1 table", ARRAY['a'])$$);
SELECT fails($$SELECT ffs_get(NULL::plain, 1)$$);
SELECT fails($$SELECT ffs_get(NULL::integer, 1)$$);
CREATE TABLE keyless (a integer);
SELECT ffs_manage('keyless');
SELECT * FROM ffs_create_many('keyless', '[{"a": 1}, {"a": 1}]');
SELECT fails($$SELECT ffs_create_many('keyless', '[{"a": 1}]', 'skip')$$);
SELECT fails($$SELECT ffs_get(NULL::keyless, 1)$$);
SELECT fails($$SELECT ffs_update('keyless', '{"a": 1}')$$);

\echo == forms of keys
INSERT INTO items (id, code) VALUES (101, 'a'), (102, 'b'), (103, 'c');
SELECT id, code FROM ffs_get(NULL::items, 101);
SELECT id, code FROM ffs_get(NULL::items, 101::bigint);
SELECT id, code FROM ffs_get(NULL::items, '101');
SELECT id, code FROM ffs_get(NULL::items, '{"id": 101}'::jsonb);
SELECT id, code FROM ffs_get(NULL::items, VARIADIC ARRAY[101]);
SELECT count(*) FROM ffs_get(NULL::items, 999);
SELECT fails($$SELECT ffs_get(NULL::items, 101.5)$$);
SELECT fails($$SELECT ffs_get(NULL::items, 'x')$$);
SELECT fails($$SELECT ffs_get(NULL::items, NULL::integer)$$);
SELECT fails($$SELECT ffs_get(NULL::items, 1, 2)$$);
PREPARE get_item AS SELECT code FROM ffs_get(NULL::items, $1);
EXECUTE get_item('102');
PREPARE get_items AS SELECT code FROM ffs_get_many(NULL::items, $1::text[]);
EXECUTE get_items('{103,101,103,999}');
PREPARE put_items AS SELECT row_number, action, key FROM ffs_create_many('items', $1, on_conflict => $2);
EXECUTE put_items('[{"id": 104, "code": "d"}, {"id": 101, "code": "aa"}]', 'update');
PREPARE drop_item AS SELECT ffs_delete('items', $1);
EXECUTE drop_item('104');
SELECT code FROM ffs_get_many(NULL::items, ARRAY[103, NULL, 101]);
SELECT code FROM ffs_get_many(NULL::items, '{103,101}'::bigint[]);
SELECT count(*) FROM ffs_get_many(NULL::items, NULL::integer[]) a, ffs_get_many(NULL::items, '{}'::integer[]) b;
-- keys that are arrays
CREATE TABLE arrays (k integer[] PRIMARY KEY, v integer);
SELECT ffs_manage('arrays', stamps => false);
SELECT * FROM ffs_create_many('arrays', '[{"k": [1, 2], "v": 1}, {"k": [], "v": 2}]');
SELECT * FROM ffs_get(NULL::arrays, '{1,2}');
SELECT * FROM ffs_get_many(NULL::arrays, '{"{}", "{1,2}"}'::text[]);

\echo == update and delete
SELECT ffs_update('items', '{"id": 101, "code": "A", "version": 50}') ->> 'version';
SELECT ffs_update('items', '{"id": 101, "b": null}', 3) -> 'b';
SELECT ffs_update('items', '{"id": 101}', 4) ->> 'code';
SELECT fails($$SELECT ffs_update('items', '{"id": 101, "code": "B"}', 1)$$);
SELECT fails($$SELECT ffs_update('items', '{"id": 999, "code": "B"}')$$);
SELECT fails($$SELECT ffs_update('items', '{"code": "B"}')$$);
SELECT fails($$SELECT ffs_update('items', '{"id": null}')$$);
SELECT fails($$SELECT ffs_update('items', '{"id": 101, "nosuch": 1}')$$);
SELECT fails($$SELECT ffs_update('items', '{"id": 101, "a": "x"}')$$);
SELECT fails($$SELECT ffs_update('items', '[]')$$);
SELECT fails($$SELECT ffs_update('items', NULL)$$);
SELECT fails($$SELECT ffs_update('parts', '{"id": 1}', 1)$$);
SELECT fails($$SELECT ffs_update('types', '{"id": 77, "always": 3}')$$);
SELECT fails($$SELECT ffs_delete('items', '{"id": 101, "expected_version": 1}'::jsonb)$$);
SELECT fails($$SELECT ffs_delete('items', '{"id": 101, "expected_version": "x"}'::jsonb)$$);
SELECT fails($$SELECT ffs_delete('items', '{"id": 101, "other": 1}'::jsonb)$$);
SELECT ffs_delete('items', '{"id": 101, "expected_version": 4}'::jsonb), ffs_delete('items', 101);
SELECT fails($$SELECT ffs_restore('items', 101)$$);

\echo == restore
CREATE TABLE orders (id integer PRIMARY KEY, code text UNIQUE, seq integer GENERATED ALWAYS AS IDENTITY, twice integer GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE lines (order_id integer REFERENCES orders ON DELETE CASCADE, n integer, PRIMARY KEY (order_id, n));
CREATE TABLE notes (id integer PRIMARY KEY, order_id integer, n integer, FOREIGN KEY (order_id, n) REFERENCES lines ON DELETE CASCADE);
SELECT ffs_manage('orders', 'scd2', soft_delete => true), ffs_manage('lines', 'copy_on_change', soft_delete => true), ffs_manage('notes', soft_delete => true);
INSERT INTO orders VALUES (1, 'a'), (2, 'b');
INSERT INTO lines VALUES (1, 1), (1, 2), (2, 1);
INSERT INTO notes VALUES (1, 1, 1), (2, 1, 2), (3, 1, 2), (4, 2, 1);
UPDATE orders SET code = 'aa' WHERE id = 1;
DELETE FROM notes WHERE id = 3;
SELECT ffs_delete('orders', 1);
SELECT fails($$SELECT ffs_restore('orders', '{"id": 1, "expected_version": 1}'::jsonb)$$);
SELECT ffs_restore('orders', '{"id": 1, "expected_version": 2, "cascade": true}'::jsonb);
SELECT id, code, seq, twice, version, created_at < valid_from FROM orders ORDER BY id;
SELECT order_id, n FROM lines ORDER BY 1, 2;
SELECT id FROM notes ORDER BY 1;
SELECT (SELECT count(*) FROM orders_deleted), (SELECT count(*) FROM lines_deleted), (SELECT string_agg(id::text, ',') FROM notes_deleted);
SELECT operation, count(*) FROM lines_audit GROUP BY 1 ORDER BY 1;
SELECT version, end_operation, is_current FROM orders_versions WHERE id = 1 ORDER BY version;
SELECT ffs_restore('orders', 1), ffs_restore('orders', 99);
-- without cascade the children stay where they are
SELECT ffs_delete('orders', 1), ffs_restore('orders', 1);
SELECT count(*) FROM lines WHERE order_id = 1;
SELECT ffs_delete('orders', 1);
INSERT INTO orders VALUES (3, 'aa');
SELECT fails($$SELECT ffs_restore('orders', 1)$$);
UPDATE orders SET id = 1, code = 'c' WHERE id = 3;
SELECT fails($$SELECT ffs_restore('orders', 1)$$);
SELECT ffs_delete('orders', 1), ffs_restore('orders', 1);
SELECT code FROM orders WHERE id = 1;
SELECT fails($$SELECT ffs_restore('orders', '{"id": 1, "cascade": "yes"}'::jsonb)$$);
-- a column that came after the deletion takes its default
SELECT ffs_delete('orders', 2);
ALTER TABLE orders ADD COLUMN kind text NOT NULL DEFAULT 'usual';
SELECT ffs_restore('orders', 2);
SELECT kind FROM orders WHERE id = 2;
-- created and deleted in one transaction: the first version again
BEGIN;
INSERT INTO orders (id) VALUES (4);
SELECT ffs_delete('orders', 4), ffs_restore('orders', 4);
SELECT version FROM orders WHERE id = 4;
COMMIT;

\echo == partitions
CREATE TABLE events (id integer, at date, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 (what text, at date NOT NULL, gone text, id integer NOT NULL);
ALTER TABLE events_2026 DROP COLUMN gone;
ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
SELECT ffs_manage('events', 'scd2', soft_delete => true);
SELECT * FROM ffs_create_many('events', '[{"id": 1, "at": "2025-05-05"}, {"id": 1, "at": "2026-05-05", "what": "x"}, {"id": 1, "at": "2030-01-01"}]', on_error => 'report');
SELECT * FROM ffs_create_many('events', '[{"id": 1, "at": "2025-05-05", "what": "u"}, {"id": 2, "at": "2026-05-05", "what": "i"}]', 'update');
SELECT tableoid::regclass, id, at, what, version FROM events ORDER BY 1, 2;
SELECT id, at, what FROM ffs_get(NULL::events, 1, '2026-05-05'::date);
SELECT id, at, what FROM ffs_get(NULL::events_2026, 2, '2026-05-05'::date);
SELECT * FROM ffs_create_many('events_2025', '[{"id": 9, "at": "2025-05-05"}, {"id": 9, "at": "2026-05-05"}]', on_error => 'report');
SELECT ffs_update('events', '{"id": 2, "at": "2026-05-05", "what": "v"}') ->> 'what';
SELECT ffs_delete('events_2026', 2, '2026-05-05'::date), ffs_restore('events', 2, '2026-05-05'::date);

\echo == what the caller may do
CREATE ROLE regress_batch_columns;
CREATE ROLE regress_batch_nobody;
GRANT USAGE ON SCHEMA batch TO regress_batch_writer, regress_batch_columns, regress_batch_nobody;
CREATE TABLE ledger (id integer PRIMARY KEY DEFAULT 1, owner name DEFAULT current_user, amount integer, secret text);
SELECT ffs_manage('ledger', stamps => false);
GRANT INSERT ON ledger TO regress_batch_writer;
GRANT INSERT (id, amount), UPDATE (amount), SELECT (id, amount) ON ledger TO regress_batch_columns;
SET ROLE regress_batch_nobody;
SELECT fails($$SELECT ffs_create_many('ledger', '[{"id": 1}]', on_error => 'report')$$);
SELECT fails($$SELECT ffs_create('ledger', '{"id": 1}')$$);
SELECT fails($$SELECT ffs_get(NULL::ledger, 1)$$);
SELECT fails($$SELECT ffs_update('ledger', '{"id": 1}')$$);
SELECT fails($$SELECT ffs_delete('ledger', 1)$$);
SET ROLE regress_batch_writer;
SELECT * FROM ffs_create_many('ledger', '[{"id": 1, "amount": 1}, {"id": 2, "amount": 2}, {"id": 1}, {"id": "x"}]', on_error => 'report');
SELECT ffs_create('ledger', '{"id": 3, "secret": "s"}') IS NULL;
SET ROLE regress_batch_columns;
SELECT * FROM ffs_create_many('ledger', '[{"id": 10, "amount": 1}, {"id": 11, "secret": "x"}, {"id": 12}]', on_error => 'report');
SELECT * FROM ffs_create_many('ledger', '[{"id": 1, "amount": 100}, {"id": 13, "amount": 1}]', 'update');
SELECT ffs_create('ledger', '{"id": 14, "amount": 3}');
SELECT ffs_update('ledger', '{"id": 14, "amount": 4}');
SELECT fails($$SELECT ffs_update('ledger', '{"id": 14, "secret": "x"}')$$);
SELECT fails($$SELECT ffs_get(NULL::ledger, 1)$$);
RESET ROLE;
ALTER TABLE ledger ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON ledger TO regress_batch_writer USING (owner = current_user) WITH CHECK (owner = current_user AND amount < 100);
GRANT SELECT, UPDATE, DELETE ON ledger TO regress_batch_writer;
SET ROLE regress_batch_writer;
SELECT * FROM ffs_create_many('ledger', '[{"id": 20, "amount": 1}, {"id": 21, "amount": 100}, {"id": 22, "owner": "x"}, {"id": 10, "amount": 5}]', 'update', 'report');
SELECT id FROM ffs_get_many(NULL::ledger, '{20,10,1,2}'::integer[]);
SELECT ffs_delete('ledger', 10), ffs_delete('ledger', 20);
SELECT fails($$SELECT ffs_update('ledger', '{"id": 10, "amount": 5}')$$);
RESET ROLE;
SELECT id, owner, amount, secret FROM ledger ORDER BY id;

\echo == rules, read-only transactions, cancels
CREATE TABLE ruled (id integer PRIMARY KEY);
SELECT ffs_manage('ruled');
CREATE RULE twice AS ON INSERT TO ruled DO ALSO SELECT 1;
SELECT fails($$SELECT ffs_create_many('ruled', '[{"id": 1}]')$$);
BEGIN READ ONLY;
SELECT fails($$SELECT ffs_create_many('items', '[{"id": 1001}]', on_error => 'report')$$);
COMMIT;
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(10); RETURN NEW; END$$;
CREATE TRIGGER slow BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION slow();
SET statement_timeout = '200ms';
SELECT ffs_create_many('items', '[{"id": 1001}]', on_error => 'report');
RESET statement_timeout;
DROP TRIGGER slow ON items;

\echo == in one another
CREATE FUNCTION nested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id < 3000 THEN
        PERFORM ffs_create_many('items', jsonb_build_array(jsonb_build_object('id', NEW.id + 1000, 'a', NEW.a)), 'update', 'report');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER nested BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION nested();
SELECT * FROM ffs_create_many('items', '[{"id": 2001, "a": 1}, {"id": 2002, "a": 2}, {"id": "x"}, {"id": 102, "code": "bb"}]', 'update', 'report');
SELECT id, a, code FROM items WHERE id > 2000 OR id = 102 ORDER BY id;
DROP TRIGGER nested ON items;
-- what a row gives up another takes, whoever fails beside them
CREATE TABLE handed (id integer PRIMARY KEY, place integer UNIQUE);
SELECT ffs_manage('handed', stamps => false);
INSERT INTO handed VALUES (1, 5), (4, 9);
SELECT row_number, action, sqlstate FROM ffs_create_many('handed', '[{"id": 1, "place": 6}, {"id": 2, "place": 5}, {"id": 3, "place": 6}, {"id": 5, "place": 9}]', 'update', 'report');
SELECT * FROM handed ORDER BY id;
-- tables that change between calls
ALTER TABLE items ALTER COLUMN a TYPE text, DROP COLUMN b;
ALTER TABLE items ADD COLUMN b integer DEFAULT 5;
SELECT row_number, action FROM ffs_create_many('items', '[{"id": 4001, "a": "text"}, {"id": 4002, "b": 6}]', 'update');
SELECT id, a, b FROM items WHERE id > 4000 ORDER BY id;
CREATE TABLE shifting (id integer PRIMARY KEY, a integer, b integer);
SELECT ffs_manage('shifting', stamps => false);
SELECT * FROM ffs_create_many('shifting', '[{"id": 1, "a": 1, "b": 1}]', 'update');
SELECT ffs_create('shifting', '{"id": 2, "a": 1}');
ALTER TABLE shifting ALTER COLUMN a TYPE text, DROP COLUMN b;
ALTER TABLE shifting ADD COLUMN b text DEFAULT 'five';
SELECT row_number, action FROM ffs_create_many('shifting', '[{"id": 3, "a": "text", "b": "six"}, {"id": 1, "a": "new"}]', 'update');
SELECT ffs_create('shifting', '{"id": 4, "a": "text"}'), ffs_update('shifting', '{"id": 2, "a": "t"}');
SELECT * FROM ffs_get_many(NULL::shifting, '{4,3,2,1}'::integer[]);

\pset format aligned
\pset tuples_only off
SELECT ffs_unmanage_all();
DROP SCHEMA batch CASCADE;
DROP SCHEMA "Odd ""Schema""" CASCADE;
DROP EXTENSION ffstorage CASCADE;
DROP ROLE regress_batch_writer, regress_batch_columns, regress_batch_nobody;
