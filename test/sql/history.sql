-- One row's life (ffs_history) and one row then (ffs_row_at), both strategies.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
CREATE SCHEMA past;
SET search_path = past, public;
SET timezone = 'UTC';
\set SHOW_CONTEXT never
-- Lines without what differs from run to run: stamps out of the row, times and
-- transaction ids as whether they fit.
CREATE FUNCTION life(relation regclass, key jsonb, OUT line bigint, OUT version integer, OUT operation text,
                     OUT gone_on boolean, OUT who text, OUT xid boolean, OUT changes jsonb, OUT row_data jsonb, OUT metadata jsonb)
RETURNS SETOF record LANGUAGE sql AS $$
  SELECT ordinality, version, operation, valid_to IS NOT NULL,
         CASE WHEN changed_by = session_user THEN 'me' ELSE changed_by END, transaction_id IS NOT NULL, changes,
         row_data - '{created_at,created_by,updated_at,updated_by,version,valid_from,transaction_id}'::text[], metadata
    FROM ffs_history(relation, key) WITH ORDINALITY
$$;
-- The same steps under both strategies.
CREATE PROCEDURE twice(step text) LANGUAGE plpgsql AS $$
DECLARE strategy text;
BEGIN
  FOREACH strategy IN ARRAY ARRAY['scd2', 'audit'] LOOP
    EXECUTE replace(step, '@', strategy);
    COMMIT;
  END LOOP;
END $$;

-- A plain life.
CALL twice('CREATE TABLE @ (id integer PRIMARY KEY, name text, value numeric, tags text[], note jsonb, seen integer)');
INSERT INTO scd2 VALUES (1, 'first', 1.0, '{a,b}', '{"x": [1]}', 1);
INSERT INTO audit SELECT * FROM scd2;
SELECT ffs_manage('scd2', 'scd2', exclude => '{seen}'), ffs_manage('audit', 'copy_on_change', exclude => '{seen}');
CALL twice('UPDATE @ SET value = 1.00 WHERE id = 1');
CALL twice('UPDATE @ SET tags = NULL, note = ''{"x": [1, 2]}'', name = ''second'' WHERE id = 1');
CALL twice('UPDATE @ SET seen = seen + 1 WHERE id = 1');
CALL twice('UPDATE @ SET name = name');
BEGIN;
SELECT ffs_set_actor('ana@acme.io', '{"ticket": "OPS-7"}');
UPDATE scd2 SET name = 'third' WHERE id = 1;
UPDATE audit SET name = 'third' WHERE id = 1;
COMMIT;
SELECT * FROM life('scd2', '{"id": 1}');
SELECT * FROM life('audit', '{"id": 1}');
-- Each line begins where the one before it ends.
SELECT bool_and(valid_to = next) FROM (SELECT valid_to, lead(valid_from) OVER () AS next FROM ffs_history('scd2', 1)) h WHERE next IS NOT NULL;
SELECT bool_and(valid_to = next) FROM (SELECT valid_to, lead(valid_from) OVER () AS next FROM ffs_history('audit', 1)) h WHERE next IS NOT NULL;

-- All ways to give a key.
SELECT count(*) FROM ffs_history('scd2', 1);
SELECT count(*) FROM ffs_history('scd2', '1');
SELECT count(*) FROM ffs_history('scd2', 1::bigint);
SELECT count(*) FROM ffs_history('scd2', '{"id": 1}'::jsonb);
SELECT count(*) FROM ffs_history('scd2', '1'::jsonb);
SELECT count(*) FROM ffs_history('scd2', VARIADIC ARRAY[1]);
PREPARE by_key AS SELECT count(*) FROM ffs_history('scd2', $1);
EXECUTE by_key('1');
DEALLOCATE by_key;
SELECT count(*) FROM ffs_history('scd2', 99);

-- Deleted and inserted again: two lives.
CALL twice('DELETE FROM @ WHERE id = 1');
CALL twice('INSERT INTO @ (id, name) VALUES (1, ''anew'')');
SELECT line, version, operation, gone_on, who, changes, row_data -> 'name' AS name FROM life('scd2', '{"id": 1}');
SELECT line, version, operation, gone_on, who, changes, row_data -> 'name' AS name FROM life('audit', '{"id": 1}');

-- In one transaction: scd2 keeps what others could have seen, the audit all.
CALL twice('DO $do$ BEGIN INSERT INTO @ (id, name) VALUES (2, ''a''); UPDATE @ SET name = ''b'' WHERE id = 2; UPDATE @ SET name = ''c'' WHERE id = 2; END $do$');
CALL twice('DO $do$ BEGIN INSERT INTO @ (id, name) VALUES (3, ''a''); DELETE FROM @ WHERE id = 3; END $do$');
SELECT 'scd2', id, l.line, version, operation, gone_on, changes, row_data -> 'name' AS name FROM (VALUES (2), (3)) k(id), life('scd2', jsonb_build_object('id', id)) l
UNION ALL
SELECT 'audit', id, l.line, version, operation, gone_on, changes, row_data -> 'name' FROM (VALUES (2), (3)) k(id), life('audit', jsonb_build_object('id', id)) l
ORDER BY 1, 2, 3;

-- TRUNCATE ends every life.
CALL twice('TRUNCATE @');
SELECT line, version, operation, gone_on FROM life('scd2', '{"id": 2}');
SELECT line, version, operation, gone_on FROM life('audit', '{"id": 2}');

-- A change of the key is followed, from either end, through keys that a
-- transaction had only meanwhile.
CALL twice('INSERT INTO @ (id, name) VALUES (10, ''ten''), (20, ''twenty''), (21, ''twenty-one'')');
CALL twice('UPDATE @ SET id = 11 WHERE id = 10');
CALL twice('DO $do$ BEGIN UPDATE @ SET id = 12 WHERE id = 11; UPDATE @ SET id = 13, name = ''thirteen'' WHERE id = 12; END $do$');
CALL twice('DELETE FROM @ WHERE id = 13');
SELECT line, version, operation, gone_on, changes, row_data -> 'id' AS id FROM life('scd2', '{"id": 10}');
SELECT count(*) FROM ffs_history('scd2', 13);
SELECT count(*) FROM ffs_history('scd2', 12);
SELECT line, version, operation, gone_on, changes, row_data -> 'id' AS id FROM life('audit', '{"id": 13}');
-- Two rows change places.
CALL twice('DO $do$ BEGIN UPDATE @ SET id = 29 WHERE id = 20; UPDATE @ SET id = 20 WHERE id = 21; UPDATE @ SET id = 21 WHERE id = 29; END $do$');
SELECT line, version, operation, gone_on, row_data -> 'id' AS id, row_data -> 'name' AS name FROM life('scd2', '{"id": 20}');
SELECT line, version, operation, gone_on, row_data -> 'id' AS id, row_data -> 'name' AS name FROM life('audit', '{"id": 20}');
-- With a deferrable key, in one statement; and there and back in one transaction.
CALL twice('CREATE TABLE swap_@ (id integer PRIMARY KEY DEFERRABLE, name text)');
SELECT ffs_manage('swap_scd2', 'scd2'), ffs_manage('swap_audit', 'copy_on_change');
CALL twice('INSERT INTO swap_@ VALUES (1, ''one''), (2, ''two''), (3, ''three'')');
CALL twice('UPDATE swap_@ SET id = 3 - id WHERE id < 3');
CALL twice('DO $do$ BEGIN UPDATE swap_@ SET id = 4 WHERE id = 3; UPDATE swap_@ SET id = 3 WHERE id = 4; END $do$');
SELECT k, string_agg(operation || ' ' || (row_data ->> 'id') || (row_data ->> 'name'), ', ' ORDER BY line)
  FROM generate_series(1, 3) k, life('swap_scd2', jsonb_build_object('id', k)) GROUP BY k ORDER BY k;
SELECT k, string_agg(operation || ' ' || (row_data ->> 'id') || (row_data ->> 'name'), ', ' ORDER BY line)
  FROM generate_series(1, 3) k, life('swap_audit', jsonb_build_object('id', k)) GROUP BY k ORDER BY k;
SELECT (ffs_row_at(NULL::swap_audit, 'infinity', id)).name = name AS same FROM swap_audit ORDER BY id;

-- One row then.
CREATE TABLE moments (n serial, at timestamptz DEFAULT clock_timestamp());
INSERT INTO moments DEFAULT VALUES;
CALL twice('INSERT INTO @ (id, name, value, seen) VALUES (30, ''a'', 1.50, 7)');
INSERT INTO moments DEFAULT VALUES;
CALL twice('UPDATE @ SET name = ''b'', tags = ''{x,NULL,"y z"}'', note = ''{"k": null}'' WHERE id = 30');
INSERT INTO moments DEFAULT VALUES;
CALL twice('DELETE FROM @ WHERE id = 30');
INSERT INTO moments DEFAULT VALUES;
CALL twice('INSERT INTO @ (id, name) VALUES (30, ''c'')');
INSERT INTO moments DEFAULT VALUES;
SELECT n, 'scd2' AS strategy, r.id, r.name, r.value, r.tags, r.note, r.seen FROM moments, ffs_row_at(NULL::scd2, at, 30) r
UNION ALL
SELECT n, 'audit', r.id, r.name, r.value, r.tags, r.note, r.seen FROM moments, ffs_row_at(NULL::audit, at, 30) r
ORDER BY 1, 2 DESC;
SELECT r.name FROM ffs_row_at(NULL::scd2, 'infinity', '30') r;
SELECT r.name FROM ffs_row_at(NULL::scd2, '-infinity', 30) r;
SELECT r.name FROM ffs_row_at(NULL::audit, 'infinity', '{"id": 30}'::jsonb) r;
SELECT count(*) FROM moments m LEFT JOIN LATERAL ffs_row_at(NULL::scd2, m.at, 30) r ON true;
SELECT (ffs_row_at(NULL::scd2, 'infinity', 30)).name;
-- As of now it is the table's row, stamps and all.
SELECT s = ffs_row_at(NULL::scd2, 'infinity', s.id) AS same FROM scd2 s ORDER BY id;
SELECT a.updated_at = r.updated_at AND a.updated_by = r.updated_by AND a.created_at = r.created_at AS same
  FROM audit a, ffs_row_at(NULL::audit, 'infinity', a.id) r ORDER BY a.id;

-- Names that need quotes, a key of two columns, a time in the key, generated columns.
CALL twice('CREATE TABLE "Odd @ ""name""" ("The Key" text, at timestamptz, "row" integer, double integer GENERATED ALWAYS AS ("row" * 2) STORED, PRIMARY KEY (at, "The Key"))');
SELECT ffs_manage('"Odd scd2 ""name"""', 'scd2'), ffs_manage('"Odd audit ""name"""', 'copy_on_change');
CALL twice('INSERT INTO "Odd @ ""name""" VALUES (''k 1'', ''2026-01-01 12:00+00'', 1)');
CALL twice('UPDATE "Odd @ ""name""" SET "row" = 2');
SET timezone = 'Asia/Tokyo';
CALL twice('UPDATE "Odd @ ""name""" SET "The Key" = ''k "2"''');
SET timezone = 'UTC';
SELECT version, operation, gone_on, changes FROM life('"Odd scd2 ""name"""', '{"at": "2026-01-01 12:00+00", "The Key": "k 1"}');
SELECT version, operation, gone_on, changes FROM life('"Odd audit ""name"""', '{"at": "2026-01-01T12:00:00Z", "The Key": "k \"2\""}');
SELECT count(*) FROM ffs_history('"Odd scd2 ""name"""', '2026-01-01 12:00+00'::timestamptz, 'k 1'::text);
SELECT "The Key", at, "row", double FROM ffs_row_at(NULL::"Odd scd2 ""name""", 'infinity', '2026-01-01 12:00+00', 'k "2"');
SELECT "The Key", at, "row", double FROM ffs_row_at(NULL::"Odd audit ""name""", 'infinity', '2026-01-01 12:00+00', 'k "2"');

-- Types.
CREATE TYPE point3 AS (x integer, y numeric(6, 2), label text);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CALL twice('CREATE TABLE types_@ (id uuid PRIMARY KEY, p point3, ps point3[], m mood, d positive, b bytea, t timestamp, z timestamptz, i interval, f float8, c char(5), v varchar(5), r int4range, bits bit(3), j json, n numeric)');
SELECT ffs_manage('types_scd2', 'scd2'), ffs_manage('types_audit', 'copy_on_change');
CALL twice($$INSERT INTO types_@ VALUES ('00000000-0000-0000-0000-000000000001', '(1,2.5,"a, b")', ARRAY['(1,1,x)'::point3, NULL], 'sad', 3, '\xdeadbeef', '2026-02-03 04:05:06.789', '2026-02-03 04:05:06.789+02', '1 mon -2 days 03:04:05', 0.1, 'ab', 'abc', '[1,5)', '101', '{"a":  1}', 'NaN')$$);
CALL twice($$UPDATE types_@ SET p = '(1,2.50,)', m = 'glad', b = '\x', t = 'infinity', z = '-infinity', f = '-Infinity', c = NULL, j = '{"a": 1}', n = 12345678901234567890.10$$);
SELECT changes FROM life('types_scd2', '"00000000-0000-0000-0000-000000000001"') WHERE version = 2;
SELECT changes FROM life('types_audit', '"00000000-0000-0000-0000-000000000001"') WHERE version = 2;
SELECT p, ps, m, d, b, t, z, i, f, c, v, r, bits, j, n FROM ffs_row_at(NULL::types_audit, 'infinity', '00000000-0000-0000-0000-000000000001');
SELECT now_row::text = then_row::text AS same
  FROM types_audit now_row, ffs_row_at(NULL::types_audit, 'infinity', '00000000-0000-0000-0000-000000000001') then_row;

-- Partitions: by the root, or by the partition's name and row type.
CALL twice('CREATE TABLE part_@ (id integer, region text, n integer, PRIMARY KEY (id, region)) PARTITION BY LIST (region)');
CALL twice('CREATE TABLE part_@_eu PARTITION OF part_@ FOR VALUES IN (''eu'')');
CALL twice('CREATE TABLE part_@_us (n integer, gone integer, region text NOT NULL, id integer NOT NULL)');
CALL twice('ALTER TABLE part_@_us DROP COLUMN gone');
CALL twice('ALTER TABLE part_@ ATTACH PARTITION part_@_us FOR VALUES IN (''us'')');
SELECT ffs_manage('part_scd2', 'scd2'), ffs_manage('part_audit', 'copy_on_change');
CALL twice('INSERT INTO part_@ VALUES (1, ''eu'', 10), (2, ''us'', 20)');
CALL twice('UPDATE part_@ SET n = n + 1');
CALL twice('UPDATE part_@ SET region = ''us'' WHERE id = 1');
SELECT version, operation, gone_on, changes, row_data FROM life('part_scd2', '{"id": 1, "region": "eu"}');
SELECT version, operation, gone_on, changes, row_data FROM life('part_audit_us', '{"id": 1, "region": "us"}');
SELECT id, region, n FROM ffs_row_at(NULL::part_scd2, 'infinity', 1, 'us'::text);
SELECT id, region, n FROM ffs_row_at(NULL::part_scd2_us, 'infinity', 1, 'us'::text);
SELECT id, region, n FROM ffs_row_at(NULL::part_audit_us, 'infinity', 2, 'us'::text);

-- Columns that come, go and change their names.
CALL twice('CREATE TABLE cols_@ (id integer PRIMARY KEY, a text, b text, c integer)');
SELECT ffs_manage('cols_scd2', 'scd2'), ffs_manage('cols_audit', 'copy_on_change');
CALL twice('INSERT INTO cols_@ VALUES (1, ''a1'', ''b1'', 1)');
CALL twice('UPDATE cols_@ SET a = ''a2'', b = ''b2'', c = 2');
CALL twice('ALTER TABLE cols_@ RENAME COLUMN a TO alpha');
CALL twice('ALTER TABLE cols_@ DROP COLUMN b');
CALL twice('ALTER TABLE cols_@ ADD COLUMN extra text DEFAULT ''e''');
CALL twice('ALTER TABLE cols_@ ALTER COLUMN c TYPE bigint');
CALL twice('UPDATE cols_@ SET alpha = ''a3''');
SELECT version, operation, changes, row_data FROM life('cols_scd2', '{"id": 1}');
SELECT id, alpha, c FROM ffs_row_at(NULL::cols_scd2, (SELECT valid_from FROM cols_scd2_history WHERE version = 1), 1);
SELECT id, alpha, c, extra FROM ffs_row_at(NULL::cols_scd2, 'infinity', 1);
SELECT version, operation, changes, row_data FROM life('cols_audit', '{"id": 1}');
SELECT id, alpha, c, extra FROM ffs_row_at(NULL::cols_audit, 'infinity', 1);
ALTER TABLE cols_scd2 RENAME TO cols_renamed;
SELECT id, alpha FROM ffs_row_at(NULL::cols_renamed, 'infinity', 1);
ALTER TABLE cols_renamed RENAME COLUMN id TO "Id";
SELECT count(*) FROM ffs_history('cols_renamed', '{"Id": 1}'::jsonb);

-- A column that takes the name of one that is gone.
ALTER TABLE cols_audit ADD COLUMN b text;
SELECT id, alpha, b FROM ffs_row_at(NULL::cols_audit, 'infinity', 1);
ALTER TABLE cols_audit RENAME COLUMN id TO key;
UPDATE cols_audit SET key = 2;
ALTER TABLE cols_audit RENAME COLUMN key TO id;
SELECT version, operation, changes FROM life('cols_audit', '{"id": 1}');
-- Rows that were there when a table came under scd2, with or without stamps before.
CREATE TABLE later (id integer PRIMARY KEY, n integer);
INSERT INTO later VALUES (1, 1);
SELECT ffs_manage('later', 'none');
INSERT INTO later VALUES (2, 2);
SELECT ffs_manage('later', 'scd2');
INSERT INTO later VALUES (3, 3);
SELECT id, version, operation FROM generate_series(1, 3) id, ffs_history('later', id);

-- Inside a statement: a trigger sees the row's life up to now.
CREATE TABLE watched (id integer PRIMARY KEY, n integer);
CREATE TABLE seen (line text);
SELECT ffs_manage('watched', 'scd2');
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO past.seen SELECT string_agg(version || ' ' || operation, ', ' ORDER BY ordinality) FROM public.ffs_history('past.watched', new.id) WITH ORDINALITY;
  RETURN NULL;
END $$;
CREATE TRIGGER look AFTER UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION look();
INSERT INTO watched VALUES (1, 1), (2, 2);
UPDATE watched SET n = n + 1;
UPDATE watched SET n = n + 1 WHERE id = 1;
TABLE seen;

-- Who may.
CREATE ROLE regress_past_reader;
CREATE ROLE regress_past_column;
GRANT USAGE ON SCHEMA past TO regress_past_reader, regress_past_column;
SET ROLE regress_past_reader;
SELECT count(*) FROM ffs_history('watched', 1);
SELECT count(*) FROM ffs_row_at(NULL::watched, now(), 1);
SELECT count(*) FROM ffs_history('audit', 1);
RESET ROLE;
GRANT SELECT ON watched, audit TO regress_past_reader;
GRANT SELECT (id) ON watched TO regress_past_column;
SET ROLE regress_past_reader;
SELECT count(*) FROM ffs_history('watched', 1);
SELECT count(*) FROM ffs_row_at(NULL::watched, now(), 1);
SELECT count(*) > 0 FROM ffs_history('audit', 1);
SET ROLE regress_past_column;
SELECT count(*) FROM ffs_history('watched', 1);
RESET ROLE;
REVOKE SELECT ON watched, audit FROM regress_past_reader;
SET ROLE regress_past_reader;
SELECT count(*) FROM ffs_history('watched', 1);
SELECT count(*) FROM ffs_row_at(NULL::watched, now(), 1);
SELECT count(*) FROM ffs_history('audit', 1);
RESET ROLE;

-- Tenants.
CALL twice('CREATE TABLE tenant_@ (id integer PRIMARY KEY, tenant text NOT NULL, n integer)');
SELECT ffs_manage('tenant_scd2', 'scd2', tenant_column => 'tenant'), ffs_manage('tenant_audit', 'copy_on_change', tenant_column => 'tenant');
GRANT ALL ON tenant_scd2, tenant_audit TO regress_past_reader;
SET ROLE regress_past_reader;
BEGIN;
SELECT ffs_set_tenant('a');
SELECT ffs_set_actor('secret', '{"for": "a"}');
INSERT INTO tenant_scd2 VALUES (1, 'a', 1);
INSERT INTO tenant_audit VALUES (1, 'a', 1);
COMMIT;
BEGIN;
SELECT ffs_set_tenant('a');
SELECT operation, metadata FROM ffs_history('tenant_scd2', 1);
SELECT operation, metadata FROM ffs_history('tenant_audit', 1);
SELECT n FROM ffs_row_at(NULL::tenant_scd2, 'infinity', 1);
SELECT n FROM ffs_row_at(NULL::tenant_audit, 'infinity', 1);
COMMIT;
BEGIN;
SELECT ffs_set_tenant('b');
SELECT operation, metadata FROM ffs_history('tenant_scd2', 1);
SELECT operation, metadata FROM ffs_history('tenant_audit', 1);
SELECT n FROM ffs_row_at(NULL::tenant_scd2, 'infinity', 1);
SELECT n FROM ffs_row_at(NULL::tenant_audit, 'infinity', 1);
COMMIT;
SELECT count(*) FROM ffs_history('tenant_scd2', 1);
SELECT count(*) FROM ffs_row_at(NULL::tenant_scd2, 'infinity', 1);
RESET ROLE;

-- Restored rows go on with their life.
CALL twice('CREATE TABLE soft_@ (id integer PRIMARY KEY, n integer)');
SELECT ffs_manage('soft_scd2', 'scd2', soft_delete => true), ffs_manage('soft_audit', 'copy_on_change', soft_delete => true);
CALL twice('INSERT INTO soft_@ VALUES (1, 1)');
CALL twice('UPDATE soft_@ SET n = 2');
CALL twice('DELETE FROM soft_@');
CALL twice('SELECT ffs_restore(''soft_@'', 1)');
CALL twice('UPDATE soft_@ SET n = 3');
SELECT version, operation, gone_on, changes, row_data FROM life('soft_scd2', '{"id": 1}');
SELECT version, operation, gone_on, changes, row_data FROM life('soft_audit', '{"id": 1}');

-- What cannot be.
CREATE TABLE plain (id integer PRIMARY KEY);
CREATE TABLE kept_not (id integer PRIMARY KEY);
SELECT ffs_manage('kept_not', 'none');
DO $$
DECLARE
  query text;
  state text; message text; detail text; hint text;
BEGIN
  FOREACH query IN ARRAY ARRAY[
    $q$SELECT ffs_history('past.plain', 1)$q$,
    $q$SELECT ffs_row_at(NULL::past.plain, now(), 1)$q$,
    $q$SELECT ffs_history('past.kept_not', 1)$q$,
    $q$SELECT ffs_row_at(NULL::past.kept_not, now(), 1)$q$,
    $q$SELECT ffs_row_at(NULL::integer, now(), 1)$q$,
    $q$SELECT ffs_row_at(NULL::past.scd2, NULL, 1)$q$,
    $q$SELECT ffs_history(NULL, 1)$q$,
    $q$SELECT ffs_history('past.scd2', NULL::integer)$q$,
    $q$SELECT ffs_history('past.scd2', NULL::text)$q$,
    $q$SELECT ffs_history('past.scd2', 1, 2)$q$,
    $q$SELECT ffs_history('past.scd2', 1.5)$q$,
    $q$SELECT ffs_history('past.scd2', 'one')$q$,
    $q$SELECT ffs_history('past.scd2', 99999999999)$q$,
    $q$SELECT ffs_history('past.scd2', true)$q$,
    $q$SELECT ffs_history('past.scd2', '{}'::jsonb)$q$,
    $q$SELECT ffs_history('past.scd2', '{"id": 1, "name": "x"}'::jsonb)$q$,
    $q$SELECT ffs_history('past.scd2', '{"id": null}'::jsonb)$q$,
    $q$SELECT ffs_history('past.scd2', '{"id": [1]}'::jsonb)$q$,
    $q$SELECT ffs_history('past.scd2', '[1]'::jsonb)$q$,
    $q$SELECT ffs_history('past.part_scd2', 1)$q$,
    $q$SELECT ffs_history('past.part_scd2', '1')$q$,
    $q$SELECT ffs_history('past.part_scd2', VARIADIC NULL::text[])$q$]
  LOOP
    BEGIN
      EXECUTE query;
      RAISE WARNING '% did not fail', query;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
      RAISE WARNING E'%\n  % %\n  % %', query, state, message, detail, hint;
    END;
  END LOOP;
END $$;

DROP OWNED BY regress_past_reader, regress_past_column;
DROP ROLE regress_past_reader, regress_past_column;
DO $$
BEGIN
  PERFORM ffs_unmanage(t.relation) FROM ffs_tables t JOIN pg_class c ON c.oid = t.relation WHERE c.relnamespace = 'past'::regnamespace;
END $$;
DROP SCHEMA past CASCADE;
