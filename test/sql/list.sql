-- Rows by filters: ffs_list, ffs_count.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE EXTENSION IF NOT EXISTS ffstorage;
CREATE SCHEMA list;
SET search_path = list, public;

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
    RETURN format(E'%s %s\n  %s\n  %s', SQLSTATE, SQLERRM, detail, hint);
END $$;

\pset format unaligned
\pset tuples_only on

CREATE TYPE mood AS ENUM ('calm', 'angry');
CREATE TYPE point2 AS (x integer, y integer);
CREATE DOMAIN short AS varchar(5) CHECK (VALUE <> 'bad');
CREATE TABLE things (
    id integer PRIMARY KEY, gone text, name text, value numeric(6,2), flag boolean, tags text[], data jsonb, doc json, mood mood, code short,
    during int4range, days int4multirange, at timestamptz, key uuid, place point2, fixed char(5), sys name, raw bytea, geo point, ratio real,
    "Odd ""name" integer, "and" integer, twice integer GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE things DROP COLUMN gone;
SELECT ffs_manage('things', 'scd2');
INSERT INTO things (id, name, value, flag, tags, data, doc, mood, code, during, days, at, key, place, fixed, sys, raw, geo, ratio, "Odd ""name", "and")
SELECT i, CASE WHEN i % 5 > 0 THEN 'Name_' || i END, i * 1.25, i % 2 = 0, ARRAY['t' || i % 3, 'all'], jsonb_build_object('k', i % 4, 'list', jsonb_build_array(i)), '{}',
       CASE WHEN i % 2 = 0 THEN 'calm' ELSE 'angry' END::mood, 'c' || i, int4range(i, i + 3), int4multirange(int4range(i, i + 1), int4range(100, 101)),
       timestamptz '2026-01-01' + i * interval '1 day', ('00000000-0000-0000-0000-0000000000' || lpad(i::text, 2, '0'))::uuid, ROW(i, -i)::point2, 'f' || i, 'sys' || i, decode(lpad(i::text, 2, '0'), 'hex'), point(i, i), i + 0.1, i % 3, i % 2
FROM generate_series(1, 12) i;
ALTER TABLE things ADD COLUMN later text DEFAULT 'later';

-- the ids that a filter finds, and that the count is theirs
CREATE FUNCTION ids(filter jsonb) RETURNS text LANGUAGE sql AS
$$SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), 'none') || CASE WHEN count(*) = ffs_count('things', filter) THEN '' ELSE ' but the count differs' END FROM ffs_list(NULL::things, filter)$$;

\echo == operators
SELECT filter, ids(filter) FROM (VALUES
    (NULL::jsonb), ('{}'), ('{"id": 3}'), ('{"id": "3"}'), ('{"id": 3, "name": "Name_3"}'), ('{"id": 3, "name": "Name_4"}'), ('{"name": null}'),
    ('{"id": {"=": 3}}'), ('{"id": {"<>": 3}}'), ('{"id": {"!=": 3}}'), ('{"id": {"<": 3}}'), ('{"id": {"<=": 3}}'), ('{"id": {">": 10}}'), ('{"id": {">=": 10}}'),
    ('{"value": {">=": 10, "<": 12.5}}'), ('{"name": {"=": null}}'), ('{"name": {"<>": null}}'), ('{"name": {"is": null}}'), ('{"name": {"is not": null}}'),
    ('{"name": {"<>": "Name_1"}}'), ('{"id": {"in": [1, 2, "3", 99]}}'), ('{"id": {"in": []}}'), ('{"id": {"not in": [1, 2, 3]}}'), ('{"id": {"not in": []}}'),
    ('{"name": {"in": ["Name_1", null]}}'), ('{"name": {"not in": ["Name_1", null]}}'), ('{"name": {"not in": ["Name_1"]}}'), ('{"id": {"between": [2, 4]}}'),
    ('{"name": {"like": "Name_1_"}}'), ('{"name": {"not like": "Name_1%"}}'), ('{"name": {"ilike": "NAME\\_1%"}}'), ('{"name": {"not ilike": "NAME_1%"}}'),
    ('{"name": {"LIKE": "Name__"}}'), ('{"name": {"prefix": "Name_1"}}'), ('{"name": {"prefix": "Name%"}}'), ('{"name": {"contains": "e_1"}}'), ('{"name": {"contains": "%"}}'),
    ('{"code": {"like": "c1%"}}'), ('{"code": "c1"}'), ('{"code": "longer than it"}'), ('{"code": "bad"}'), ('{"code": {"in": ["c1", "bad"]}}'), ('{"fixed": "f1"}'), ('{"fixed": {"like": "f1%"}}'), ('{"sys": {"prefix": "sys1"}}'),
    ('{"flag": true, "mood": "calm", "id": {"<": 5}}'), ('{"mood": {">": "calm"}}'), ('{"at": {">": "2026-01-10"}}'), ('{"at": {"between": ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00+00:00"]}}'),
    ('{"key": {"in": ["00000000-0000-0000-0000-000000000001"]}}'), ('{"value": 1.25}'), ('{"value": 1.2500001}'), ('{"value": 99999999999}'), ('{"ratio": 1.1}'), ('{"raw": "\\x03"}'),
    ('{"tags": ["t1", "all"]}'), ('{"tags": {"contains": "t1"}}'), ('{"tags": {"contains": ["t1", "all"]}}'), ('{"tags": {"overlaps": ["t1", "t2"]}}'), ('{"tags": {"contained in": ["t1", "all", "x"]}}'), ('{"tags": {"in": [["t1", "all"], ["t2", "all"], null]}}'), ('{"tags": {"not in": [["t1", "all"]]}}'),
    ('{"data": {"=": {"k": 3, "list": [3]}}}'), ('{"data": {"contains": {"k": 3}}}'), ('{"data": {"contains": {"list": [5]}}}'), ('{"data": {"contained in": {"k": 3, "list": [3, 7], "more": null}}}'), ('{"data": []}'), ('{"data": {"in": [{"k": 3, "list": [3]}, 1]}}'),
    ('{"during": {"contains": 5}}'), ('{"during": "[5,8)"}'), ('{"during": {"overlaps": "[1,3)"}}'), ('{"during": {"contained in": "[1,6)"}}'), ('{"days": {"contains": 4}}'), ('{"days": {"overlaps": "{[1,3)}"}}'),
    ('{"place": {"=": {"x": 2, "y": -2}}}'), ('{"Odd \"name": 2}'), ('{"twice": 6}'), ('{"version": 1, "id": 1}'), ('{"later": "later", "id": 1}'),
    ('{"or": [{"id": 1}, {"id": {">": 11}}]}'), ('{"or": []}'), ('{"or": [{}]}'), ('{"not": {"id": {">": 2}}}'), ('{"not": {}}'), ('{"not": {"name": "Name_1"}, "id": {"<": 6}}'),
    ('{"or": [{"id": 1, "name": "x"}, {"not": {"or": [{"id": {"<": 11}}, {"name": null}]}}], "id": {"<": 12}}'), ('{"and": 1, "id": {"<": 4}}')) v (filter);

\echo == operands and columns that do not serve
SELECT filter, fails(format('SELECT ffs_count(''things'', %L)', filter)) FROM (VALUES
    ('[]'), ('1'), ('null'), ('{"nosuch": 1}'), ('{"gone": 1}'), ('{"ctid": "(0,1)"}'), ('{"ID": 1}'), ('{"or": {}}'), ('{"or": [1]}'), ('{"or": null}'), ('{"not": []}'),
    ('{"id": {"~": 1}}'), ('{"id": {"= 1 OR 1 =": 1}}'), ('{"id": {}}'), ('{"id": "x"}'), ('{"id": 1.5}'), ('{"id": {">": "1; DROP TABLE things"}}'), ('{"id": 99999999999}'), ('{"id": {">": null}}'), ('{"id": [1, 2]}'), ('{"id": {"in": 1}}'), ('{"id": {"in": [1, "x"]}}'), ('{"id": {"in": {"a": 1}}}'), ('{"id": {"between": [1]}}'), ('{"id": {"between": [1, null]}}'), ('{"id": {"like": "1"}}'), ('{"id": {"contains": 1}}'), ('{"id": {"overlaps": 1}}'), ('{"id": {"is": 1}}'),
    ('{"name": {"like": 1}}'), ('{"name": {"like": null}}'), ('{"name": {"like": "a\\"}}'), ('{"name": {"prefix": ["a"]}}'), ('{"mood": "sad"}'), ('{"mood": {"like": "c%"}}'), ('{"doc": {"=": {}}}'), ('{"doc": {"contains": {}}}'), ('{"geo": "(1,1)"}'), ('{"geo": {"<": "(1,1)"}}'), ('{"tags": {"contains": null}}'), ('{"tags": "all"}'), ('{"during": {"contains": "x"}}'), ('{"place": {"x": 1}}'), ('{"data": {"k": 1}}'), ('{"data": {"overlaps": {}}}'), ('{"flag": {"contains": true}}')) v (filter);
SELECT fails('SELECT ffs_count(''things'', ''' || repeat('{"not": ', 100000) || '{}' || repeat('}', 100000) || ''')') LIKE '54001%';
SELECT fails($$SELECT ffs_count(NULL)$$);
SELECT fails($$SELECT ffs_count('pg_class')$$);
SELECT fails($$SELECT ffs_list(NULL::pg_class)$$);
SELECT fails($$SELECT ffs_list(NULL::integer)$$);

\echo == orders and pages
SELECT order_by, (SELECT string_agg(id::text, ' ') FROM (SELECT id FROM ffs_list(NULL::things, '{"id": {"<": 8}}', order_by)) x) FROM (VALUES
    ('id'), ('id DESC'), ('value desc'), ('name'), ('name nulls first, id'), ('NAME DESC NULLS LAST'), ('name DESC'), ('mood,id desc'), (E' mood\tASC\n,\r"id" ASC NULLS LAST '),
    ('"Odd ""name" desc, id'), ('"and", id'), ('id, id desc'), ('tags, id'), ('twice DESC')) v (order_by);
SELECT order_by, fails(format('SELECT ffs_list(NULL::things, NULL, %L)', order_by)) FROM (VALUES
    (''), (' '), ('1'), ('id,'), (',id'), ('id name'), ('id desc asc'), ('id nulls'), ('id nulls fist'), ('id descx'), ('"id'), ('""'), ('"ID"'), ('id; DROP TABLE things'), ('id--'), ('lower(name)'), ('things.id'), ('id COLLATE "C"'), ('id USING >'), ('(id)'), ('id''x'), ('é'), ('doc'), ('geo'), ('ctid'), ('gone'), ('"........pg.dropped.2........"')) v (order_by);
SELECT string_agg(id::text, ' ') FROM ffs_list(NULL::things, max_rows => 3);
SELECT string_agg(id::text, ' ') FROM ffs_list(NULL::things, max_rows => 3, skip_rows => 3);
SELECT string_agg(id::text, ' ') FROM ffs_list(NULL::things, '{"flag": true}', 'id desc', 2, 1);
SELECT string_agg(id::text, ' ') FROM ffs_list(NULL::things, skip_rows => 10);
SELECT count(*) FROM ffs_list(NULL::things, max_rows => 0);
SELECT count(*) FROM ffs_list(NULL::things, max_rows => NULL, skip_rows => 2147483647);
SELECT fails($$SELECT ffs_list(NULL::things, max_rows => -1)$$);
SELECT fails($$SELECT ffs_list(NULL::things, skip_rows => -1)$$);

\echo == whole rows, as a SELECT gives them
SELECT count(*) FROM (SELECT to_jsonb(l) FROM ffs_list(NULL::things) l EXCEPT ALL SELECT to_jsonb(t) FROM things t) x;
SELECT (ffs_list(NULL::things, '{"id": 3}')).later;
SELECT tags, "and", twice, later FROM ffs_list(NULL::things, '{"id": 3}');
INSERT INTO things (id, name) VALUES (50, repeat('long ', 100000));
SELECT length(name), to_jsonb(l) = to_jsonb(t) FROM ffs_list(NULL::things, '{"id": 50}') l JOIN things t USING (id, name);
DELETE FROM things WHERE id = 50;

\echo == plans are kept, and made anew after a change
PREPARE listed(jsonb) AS SELECT id, name, extra FROM (SELECT id, name, to_jsonb(l) ->> 'extra' FROM ffs_list(NULL::things, $1) l) x (id, name, extra);
EXECUTE listed('{"id": 3}');
ALTER TABLE things ADD COLUMN extra integer DEFAULT 7;
EXECUTE listed('{"id": 3}');
EXECUTE listed('{"extra": 7, "id": {"<": 3}}');
ALTER TABLE things RENAME COLUMN extra TO "Extra;";
EXECUTE listed('{"Extra;": 7, "id": {"<": 3}}');
SELECT fails($$EXECUTE listed('{"extra": 7}')$$) ~ '42703';

\echo == indexes are used
CREATE TABLE big (id integer PRIMARY KEY, kind integer, name text COLLATE "C", tenant_id integer NOT NULL, tags text[]);
SELECT ffs_manage('big', stamps => false);
INSERT INTO big SELECT i, i % 1000, 'n' || i, i % 10, ARRAY['t' || i % 1000] FROM generate_series(1, 20000) i;
CREATE INDEX big_kind ON big (kind, id);
CREATE INDEX big_name ON big (name);
CREATE INDEX big_tags ON big USING gin (tags);
CREATE INDEX big_tenant ON big (tenant_id, id);
VACUUM ANALYZE big;
CREATE FUNCTION scans(filter jsonb, order_by text DEFAULT NULL, max_rows integer DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
    result text;
BEGIN
    CREATE TEMP TABLE before ON COMMIT DROP AS SELECT i, pg_stat_get_xact_numscans(i) AS n FROM unnest(ARRAY['big', 'big_pkey', 'big_kind', 'big_name', 'big_tags', 'big_tenant']::regclass[]) i;
    SELECT count(*) INTO found FROM ffs_list(NULL::big, filter, order_by, max_rows);
    SELECT string_agg(i::text, ' ' ORDER BY i::text) INTO result FROM before WHERE pg_stat_get_xact_numscans(i) > n;
    DROP TABLE before;
    RETURN found || ' rows by ' || result;
END $$;
SELECT scans('{"id": 77}');
SELECT scans('{"id": {"in": [1, 2, 3]}}');
SELECT scans('{"id": {"between": [5, 9]}}');
SELECT scans('{"kind": 5}');
SELECT scans('{"kind": {"=": 5}, "id": {">": 10000}}', 'id', 3);
SELECT scans('{}', 'id desc', 3);
SELECT scans(NULL, NULL, 3);
SELECT scans('{"name": "n77"}');
SELECT scans('{"name": {"prefix": "n777"}}');
SELECT scans('{"tags": {"contains": "t5"}}');
SELECT scans('{"or": [{"id": 4}, {"kind": 4}]}');
-- also once the plan is generic
SELECT string_agg(DISTINCT scans(jsonb_build_object('kind', i)), ', ') FROM generate_series(1, 12) i;
SELECT string_agg(DISTINCT scans(jsonb_build_object('name', jsonb_build_object('prefix', 'n777' || i))), ', ') FROM generate_series(1, 9) i;

\echo == what the caller may do
CREATE ROLE regress_list_reader;
CREATE ROLE regress_list_columns;
CREATE ROLE regress_list_nobody;
GRANT USAGE ON SCHEMA list TO regress_list_reader, regress_list_columns, regress_list_nobody;
CREATE TABLE secrets (id integer PRIMARY KEY, owner name, secret text);
SELECT ffs_manage('secrets', stamps => false);
INSERT INTO secrets VALUES (1, 'regress_list_reader', 'a'), (2, 'regress_list_columns', 'b'), (3, 'x', 'c');
GRANT SELECT ON secrets TO regress_list_reader;
GRANT SELECT (id, owner) ON secrets TO regress_list_columns;
SET ROLE regress_list_nobody;
SELECT fails($$SELECT ffs_list(NULL::secrets)$$);
SELECT fails($$SELECT ffs_count('secrets')$$);
SET ROLE regress_list_columns;
SELECT fails($$SELECT ffs_list(NULL::secrets)$$);
SELECT fails($$SELECT ffs_count('secrets', '{"secret": "a"}')$$);
SELECT ffs_count('secrets', '{"id": {">": 1}}');
RESET ROLE;
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON secrets USING (owner = current_user);
SET ROLE regress_list_reader;
SELECT * FROM ffs_list(NULL::secrets);
SELECT ffs_count('secrets'), ffs_count('secrets', '{"secret": {"like": "%"}}'), ffs_count('secrets', '{"or": [{"id": 3}, {"id": 1}]}');
SET ROLE regress_list_columns;
SELECT ffs_count('secrets');
RESET ROLE;

\echo == tenants
SELECT ffs_manage('big', tenant_column => 'tenant_id', stamps => false);
GRANT SELECT ON big TO regress_list_reader;
SET ROLE regress_list_reader;
SELECT ffs_count('big'), (SELECT count(*) FROM ffs_list(NULL::big));
BEGIN;
SELECT ffs_set_tenant('3');
SELECT ffs_count('big'), ffs_count('big', '{"tenant_id": 4}'), ffs_count('big', '{"or": [{"tenant_id": 4}, {"tenant_id": 3}]}'), (SELECT count(*) FROM ffs_list(NULL::big, '{"id": {"<": 100}}'));
SELECT scans('{"id": {"<": 100}}');
COMMIT;
BEGIN;
SELECT ffs_set_tenants('{3,4}');
SELECT ffs_count('big'), ffs_count('big', '{"tenant_id": 4}'), ffs_count('big', '{"tenant_id": 5}');
COMMIT;
RESET ROLE;

\echo == partitions
CREATE TABLE parts (id integer, at date, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE parts_2025 PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE parts_2026 (what text, at date NOT NULL, gone text, id integer NOT NULL);
ALTER TABLE parts_2026 DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION parts_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
SELECT ffs_manage('parts', 'scd2', stamps => false);
INSERT INTO parts VALUES (1, '2025-05-05', 'a'), (2, '2026-05-05', 'b'), (1, '2026-05-05', 'c');
SELECT id, at, what, version FROM ffs_list(NULL::parts, '{"at": {">": "2025-01-01"}}', 'id, at desc');
SELECT id, at, what FROM ffs_list(NULL::parts, max_rows => 2);
SELECT id, at, what FROM ffs_list(NULL::parts_2026, '{"id": 1}');
SELECT ffs_count('parts'), ffs_count('parts_2025');

\echo == the snapshot of the statement
CREATE TABLE seen (id integer PRIMARY KEY);
SELECT ffs_manage('seen', stamps => false);
WITH new AS (INSERT INTO seen VALUES (1) RETURNING id) SELECT id, ffs_count('seen') FROM new;
SELECT ffs_count('seen');
DO $$BEGIN INSERT INTO seen VALUES (2); ASSERT ffs_count('seen') = 2; DELETE FROM seen; ASSERT ffs_count('seen') = 0; END$$;
BEGIN READ ONLY;
SELECT ffs_count('big', '{"id": 1}'), (SELECT count(*) FROM ffs_list(NULL::big, '{"id": 1}'));
COMMIT;
SET statement_timeout = '100ms';
SELECT ffs_count('big', (SELECT jsonb_build_object('or', jsonb_agg(jsonb_build_object('name', jsonb_build_object('like', '%' || i || '%_%_%_%_%x')))) FROM generate_series(1, 1000) i));
RESET statement_timeout;

\pset format aligned
\pset tuples_only off
SELECT ffs_unmanage_all();
DROP SCHEMA list CASCADE;
DROP EXTENSION ffstorage CASCADE;
DROP ROLE regress_list_reader, regress_list_columns, regress_list_nobody;
