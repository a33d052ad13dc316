/* ffs_cached: what is kept and what is not, that nothing stale is given, and nothing of anybody else's. */
SET client_min_messages = warning;
CREATE EXTENSION ffstorage;
CREATE SCHEMA cached_test;
SET search_path = cached_test, public;
SET client_min_messages = notice;

/* What ffs_cached gives beside what the query gives, and what the cache did: hit, miss (put in or refused), bypassed. */
CREATE FUNCTION did(OUT done text) LANGUAGE plpgsql SECURITY DEFINER SET search_path = cached_test, public AS $$
DECLARE
	s record;
BEGIN
	SELECT * INTO s FROM ffs_stat_cache;
	done := CASE WHEN NOT FOUND THEN 'off'
		ELSE concat_ws(' ',
			CASE WHEN s.result_hits > split_part(current_setting('t.was', true), ',', 1)::bigint THEN 'hit' END,
			CASE WHEN s.result_misses > split_part(current_setting('t.was', true), ',', 2)::bigint THEN 'miss' END,
			CASE WHEN s.result_fills > split_part(current_setting('t.was', true), ',', 3)::bigint THEN 'filled' END,
			CASE WHEN s.result_refused > split_part(current_setting('t.was', true), ',', 4)::bigint THEN 'refused' END,
			CASE WHEN s.result_bypassed > split_part(current_setting('t.was', true), ',', 5)::bigint THEN 'bypassed' END) END;
	PERFORM set_config('t.was', concat_ws(',', s.result_hits, s.result_misses, s.result_fills, s.result_refused, s.result_bypassed), false);
END $$;
CREATE FUNCTION look(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plain jsonb;
	cached jsonb;
	done text;
BEGIN
	BEGIN
		EXECUTE 'SELECT coalesce(jsonb_agg(r), ''[]'') FROM (SELECT to_jsonb(q) AS r FROM (' || q || ') q) q' INTO plain;
	EXCEPTION WHEN OTHERS THEN
		plain := jsonb_build_object('error', SQLSTATE, 'message', SQLERRM);
	END;
	BEGIN
		SELECT coalesce(jsonb_agg(r), '[]') INTO cached FROM ffs_cached(q) r;
	EXCEPTION WHEN OTHERS THEN
		cached := jsonb_build_object('error', SQLSTATE, 'message', SQLERRM);
	END;
	done := did();
	RETURN done || CASE WHEN plain = cached THEN ': ' || CASE WHEN length(plain::text) < 100 THEN plain::text ELSE 'the same' END
		ELSE format(' DIFFERS: %s CACHED %s', plain, cached) END;
END $$;
GRANT USAGE ON SCHEMA cached_test TO PUBLIC;
SELECT set_config('t.was', '0,0,0,0,0', false);

CREATE TABLE t (id integer PRIMARY KEY, v integer, s text, at timestamptz, f float8);
CREATE TABLE child (id integer PRIMARY KEY, t_id integer REFERENCES t ON UPDATE CASCADE ON DELETE CASCADE, w integer);
CREATE TABLE parted (id integer, k integer, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM (10) TO (20);
CREATE TABLE keyless (v integer);
CREATE TABLE plain (id integer PRIMARY KEY, v integer);
SELECT ffs_manage('t', 'scd2'), ffs_manage('child', 'copy_on_change', soft_delete => true), ffs_manage('parted', stamps => false), ffs_manage('keyless', stamps => false);
INSERT INTO t SELECT i, i, 's' || i, '2026-01-01 12:00+00'::timestamptz + i * interval '1 hour', i / 3.0 FROM generate_series(1, 10) i;
INSERT INTO child SELECT i, i, i FROM generate_series(1, 10) i;
INSERT INTO parted SELECT i, i FROM generate_series(1, 19) i;
INSERT INTO keyless SELECT generate_series(1, 3);
INSERT INTO plain VALUES (1, 1);
SELECT did() IS NOT NULL;

/* a miss fills, a hit does not ask; rows in their order; none at all; the forms of a call */
SELECT look('SELECT sum(v) FROM t');
SELECT look('SELECT sum(v) FROM t');
SELECT look('SELECT id, s FROM t WHERE v > 8 ORDER BY id DESC');
SELECT look('SELECT id, s FROM t WHERE v > 8 ORDER BY id DESC');
SELECT look('SELECT id FROM t WHERE v > 80');
SELECT look('SELECT id FROM t WHERE v > 80');
SELECT ffs_cached('SELECT id FROM t WHERE v < 3 ORDER BY id');
SELECT ffs_cached('SELECT id FROM t WHERE v < 3 ORDER BY id', '1 hour') ->> 'id';
SELECT did();
SELECT ffs_cached('TABLE keyless', NULL);
SELECT * FROM ffs_cached('VALUES (1), (2)');
SELECT * FROM ffs_cached('SELECT id FROM t WHERE id = $1 OR s = $2', '1 hour', 1, 's2');
SELECT did();
SELECT * FROM ffs_cached('SELECT id FROM t WHERE id = $1 OR s = $2', '1 hour', 1, 's2'::text);
SELECT did();
SELECT * FROM ffs_cached('SELECT id FROM t WHERE id = $1 OR s = $2', '1 hour', '1', 's2');
SELECT did();
SELECT * FROM ffs_cached('SELECT id FROM t WHERE id = $1 OR s = $2', '1 hour', '1', 's2');
SELECT did();
SELECT * FROM ffs_cached('SELECT id FROM t WHERE id = $1 OR s = $2', '1 hour', NULL, 's3');
SELECT did();
SELECT * FROM ffs_cached('SELECT id FROM t WHERE id = $1 OR s = $2', '1 hour', NULL::integer, NULL::text);
SELECT * FROM ffs_cached('SELECT count(*) FROM t WHERE id = ANY ($1)', '1 hour', ARRAY[1, 2, 30]);
SELECT * FROM ffs_cached('SELECT $1 + $2 AS n, count(*) FROM t', '1 hour', VARIADIC ARRAY[1, 2]);
SELECT * FROM ffs_cached('SELECT $1::jsonb AS j, count(*) FROM t', '1 hour', '{"a": [1, null]}');
SELECT q.x, c FROM (VALUES (1), (2), (1)) q(x), ffs_cached('SELECT id, v FROM t WHERE id = $1', NULL, q.x) c;
SELECT did();

/* errors */
SELECT ffs_cached(NULL);
SELECT ffs_cached('SELECT 1 FROM t', '0 s');
SELECT ffs_cached('SELECT 1 FROM t', '-1 day');
SELECT ffs_cached('');
SELECT ffs_cached('SELECT 1 FROM t; SELECT 2 FROM t');
SELECT ffs_cached('DELETE FROM t');
SELECT ffs_cached('WITH d AS (DELETE FROM t RETURNING 1) SELECT * FROM d');
SELECT ffs_cached('SELECT id FROM t FOR UPDATE');
SELECT ffs_cached('SELECT * FROM (SELECT id FROM t FOR SHARE) q');
SELECT ffs_cached('VACUUM t');
SELECT ffs_cached('EXPLAIN SELECT 1 FROM t');
SELECT ffs_cached('SELECT id FROM t WHERE id = $2', NULL, 1);
SELECT ffs_cached('SELECT id FROM t WHERE id = $1');
SELECT ffs_cached('SELECT nothing FROM t');
SELECT ffs_cached('SELECT 1 / (id - id) FROM t');
SELECT ffs_cached('SELEC');
SELECT ffs_cached('SELECT id FROM t WHERE id = $1', NULL, 'x');
SELECT count(*) FROM t;
SELECT did() IS NOT NULL;

/* every kind of write */
CREATE FUNCTION again() RETURNS text LANGUAGE sql AS $$ SELECT look('SELECT count(*), sum(v), max(s) FROM t') $$;
SELECT again();
UPDATE t SET v = v + 1 WHERE id = 1;
SELECT again();
SELECT again();
INSERT INTO t (id, v) VALUES (11, 11);
SELECT again();
DELETE FROM t WHERE id = 11;
SELECT again();
COPY t (id, v) FROM STDIN;
12	12
\.
SELECT again();
SELECT again();
SELECT count(*) FROM ffs_create_many('t', '[{"id": 13, "v": 13}]');
SELECT again();
SELECT ffs_update('t', '{"id": 13, "v": 14}') ->> 'v';
SELECT again();
SELECT ffs_delete('t', 13);
SELECT again();
MERGE INTO t USING (VALUES (12), (14)) n(id) ON t.id = n.id WHEN MATCHED THEN UPDATE SET v = 0 WHEN NOT MATCHED THEN INSERT (id, v) VALUES (n.id, 0);
SELECT again();
INSERT INTO t (id, v) VALUES (12, 1) ON CONFLICT (id) DO UPDATE SET v = 100;
SELECT again();
UPDATE t SET v = v WHERE id = 1;
SELECT again();
SELECT look('SELECT sum(t_id) FROM child');
UPDATE t SET id = 100 WHERE id = 10;
SELECT look('SELECT sum(t_id) FROM child');
DELETE FROM t WHERE id = 100;
SELECT look('SELECT sum(t_id) FROM child');
INSERT INTO t (id, v) VALUES (100, 100);
SELECT ffs_restore('child', 10);
SELECT look('SELECT sum(t_id) FROM child');
BEGIN;
UPDATE t SET v = 1000 WHERE id = 1;
SELECT again();
SAVEPOINT a;
UPDATE t SET v = 2000 WHERE id = 1;
SELECT again();
ROLLBACK TO a;
SELECT again();
ROLLBACK;
SELECT again();
SELECT again();
BEGIN;
TRUNCATE t CASCADE;
SELECT again();
ROLLBACK;
SELECT again();
SET session_replication_role = replica;
UPDATE t SET v = 7 WHERE id = 1;
RESET session_replication_role;
SELECT again();
SELECT look('SELECT sum(v) FROM keyless');
UPDATE keyless SET v = 10 WHERE v = 1;
SELECT look('SELECT sum(v) FROM keyless');
SELECT look('SELECT sum(v) FROM keyless');
INSERT INTO keyless VALUES (5);
SELECT look('SELECT sum(v) FROM keyless');

/* triggers off: not kept, and what was kept is gone; on again */
ALTER TABLE t DISABLE TRIGGER USER;
SELECT again();
UPDATE t SET v = 8 WHERE id = 1;
SELECT again();
ALTER TABLE t ENABLE TRIGGER USER;
SELECT again();
SELECT again();

/* partitions: by the root, by one of them, moves, attached and detached */
SELECT look('SELECT count(*), sum(k) FROM parted');
SELECT look('SELECT count(*), sum(k) FROM parted_a');
SELECT look('SELECT count(*), sum(k) FROM parted_a');
SELECT look('SELECT id FROM parted WHERE k = 3');
INSERT INTO parted_a VALUES (50, 5);
SELECT look('SELECT count(*), sum(k) FROM parted');
SELECT look('SELECT count(*), sum(k) FROM parted_a');
UPDATE parted SET k = 15 WHERE id = 50;
SELECT look('SELECT count(*), sum(k) FROM parted_a');
ALTER TABLE parted DETACH PARTITION parted_b;
SELECT look('SELECT count(*), sum(k) FROM parted');
ALTER TABLE parted ATTACH PARTITION parted_b FOR VALUES FROM (10) TO (20);
SELECT look('SELECT count(*), sum(k) FROM parted');
TRUNCATE parted_b;
SELECT look('SELECT count(*), sum(k) FROM parted');

/* through views, functions in SQL, CTEs, joins */
CREATE VIEW seen AS SELECT t.id, v, w FROM t JOIN child ON child.t_id = t.id;
CREATE FUNCTION few(n integer) RETURNS SETOF t LANGUAGE sql STABLE AS $$ SELECT * FROM t WHERE id <= n $$;
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql STABLE RETURN (SELECT sum(w) FROM child);
CREATE FUNCTION deep() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT total() + (SELECT count(*) FROM few(100)) $$;
CREATE FUNCTION double(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n * 2; END $$;
SELECT look(q), look(q) FROM unnest(ARRAY['SELECT count(*), sum(v + w) FROM seen', 'SELECT count(*), sum(v) FROM few(5)', 'SELECT total()', 'SELECT deep()',
	'WITH c AS (SELECT * FROM child WHERE w > 2) SELECT (SELECT sum(v) FROM t WHERE id IN (SELECT t_id FROM c)) AS s', 'SELECT double(v) FROM t WHERE id = 2']) q;
UPDATE child SET w = 50 WHERE id = 1;
SELECT look(q) FROM unnest(ARRAY['SELECT count(*), sum(v + w) FROM seen', 'SELECT count(*), sum(v) FROM few(5)', 'SELECT total()', 'SELECT deep()',
	'WITH c AS (SELECT * FROM child WHERE w > 2) SELECT (SELECT sum(v) FROM t WHERE id IN (SELECT t_id FROM c)) AS s', 'SELECT double(v) FROM t WHERE id = 2']) q;

/* what a query means may change, and whether it may be run */
CREATE OR REPLACE VIEW seen AS SELECT t.id, v, w FROM t JOIN child ON child.t_id = t.id WHERE v > 5;
SELECT look('SELECT count(*), sum(v + w) FROM seen');
CREATE OR REPLACE FUNCTION few(n integer) RETURNS SETOF t LANGUAGE sql STABLE AS $$ SELECT * FROM t WHERE id < n $$;
SELECT look('SELECT count(*), sum(v) FROM few(5)');
CREATE OR REPLACE FUNCTION double(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n * 3; END $$;
SELECT look('SELECT double(v) FROM t WHERE id = 2');
CREATE TYPE mood AS ENUM ('bad', 'good');
ALTER TABLE child ADD COLUMN m mood DEFAULT 'bad';
SELECT look('SELECT m FROM child WHERE id = 1');
ALTER TYPE mood RENAME VALUE 'bad' TO 'sad';
SELECT look('SELECT m FROM child WHERE id = 1');
ALTER TABLE child RENAME COLUMN m TO mm;
SELECT look('SELECT * FROM child WHERE id = 2') ~ '"mm"';
ALTER TABLE child DROP COLUMN mm;
SELECT look('SELECT * FROM child WHERE id = 2') ~ 'mm';
SELECT look('SELECT max(id) FROM t');
CREATE SCHEMA earlier;
SET search_path = earlier, cached_test, public;
SELECT look('SELECT max(id) FROM t');
SELECT look('SELECT max(id) FROM t');
CREATE TABLE earlier.t (id integer PRIMARY KEY);
SELECT look('SELECT max(id) FROM t');
DROP SCHEMA earlier CASCADE;
SELECT look('SELECT max(id) FROM t');
SET search_path = cached_test, public;
CREATE TEMP TABLE t AS SELECT 77 AS id;
SELECT look('SELECT max(id) FROM t');
DROP TABLE pg_temp.t;
SELECT look('SELECT max(id) FROM t');
SELECT look('SELECT max(id) FROM t');
/* temporary tables of others' change nothing */
CREATE TEMP TABLE other (x integer);
DROP TABLE other;
SELECT look('SELECT max(id) FROM t');

/* own definitions are nobody else's until they are committed */
SELECT look('SELECT double(v) FROM t WHERE id = 2');
BEGIN;
CREATE OR REPLACE FUNCTION double(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n * 4; END $$;
SELECT look('SELECT double(v) FROM t WHERE id = 2');
SELECT look('SELECT double(v) AS d FROM t WHERE id = 2');
ROLLBACK;
SELECT look('SELECT double(v) FROM t WHERE id = 2');
SELECT look('SELECT double(v) AS d FROM t WHERE id = 2');
BEGIN;
SAVEPOINT a;
ALTER TYPE mood RENAME VALUE 'sad' TO 'mad';
SELECT look('SELECT enum_first(NULL::mood) FROM t WHERE id = 2');
ROLLBACK TO a;
SELECT look('SELECT enum_first(NULL::mood) FROM t WHERE id = 2');
COMMIT;
SELECT look('SELECT enum_first(NULL::mood) FROM t WHERE id = 2');

/* temporary objects of all kinds, which others do not know */
SELECT look('SELECT sum(v::tiny) FROM t');
CREATE TEMP VIEW few_seen AS SELECT * FROM t WHERE id = 1;
SELECT look('SELECT count(*) FROM few_seen');
CREATE FUNCTION pg_temp.half(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2';
SELECT look('SELECT sum(pg_temp.half(v)) FROM t');
CREATE DOMAIN tiny AS integer;
SELECT look('SELECT sum(v::tiny) FROM t');
CREATE DOMAIN pg_temp.tiny AS numeric(9, 2);
SELECT look('SELECT sum(v::tiny) FROM t');
SELECT look('SELECT ARRAY[v::tiny] FROM t WHERE id = 2');
SELECT count(*) FROM ffs_cached('SELECT $1, id FROM t', NULL, 1::tiny);
SELECT look('SELECT tableoid::regclass AS of FROM t WHERE id = 2');
SELECT look('SELECT count(*) FROM t WHERE tableoid = ''t''::regclass');
SELECT look('SELECT count(*) FROM t WHERE to_tsvector(''simple'', s) @@ to_tsquery(''simple'', ''s2'')');
SELECT look('SELECT current_schema FROM t WHERE id = 2');
CREATE OPERATOR pg_temp.+ (FUNCTION = int4mi, LEFTARG = integer, RIGHTARG = integer);
SELECT look('SELECT v OPERATOR(pg_temp.+) 1 FROM t WHERE id = 2');
DISCARD TEMP;
SELECT look('SELECT sum(v::tiny) FROM t');

/* what becomes text or JSON, and back, in ways that the query does not show */
CREATE FUNCTION mood_json(mood) RETURNS json LANGUAGE sql STABLE AS 'SELECT to_json(v) FROM plain';
CREATE CAST (mood AS json) WITH FUNCTION mood_json(mood);
CREATE TYPE moody AS (m mood[]);
SELECT look('SELECT ''good''::mood AS m FROM t WHERE id = 2');
SELECT look('SELECT ROW(ARRAY[''good''::mood])::moody AS m FROM t WHERE id = 2');
DROP CAST (mood AS json);
SELECT look('SELECT ROW(ARRAY[''good''::mood])::moody AS m FROM t WHERE id = 2');
CREATE FUNCTION is_few(integer) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN $1 < (SELECT 10 * v FROM plain); END $$;
CREATE DOMAIN of_few AS integer CHECK (VALUE > 0) CHECK (is_few(VALUE));
SELECT look('SELECT v::of_few FROM t WHERE id = 2');
CREATE TYPE of_fews AS (a of_few[]);
SELECT look('SELECT ''({2})''::of_fews FROM t WHERE id = 2');
CREATE DOMAIN positive AS integer NOT NULL CHECK (VALUE > 0);
SELECT look('SELECT v::positive FROM t WHERE id = 2');
SELECT count(*) FROM ffs_cached('SELECT x.at FROM t, XMLTABLE(''/r'' PASSING ''<r>now</r>'' COLUMNS at timestamptz PATH ''.'') x');
SELECT look('SELECT x.* FROM t, XMLTABLE(''/r'' PASSING ''<r><a>1</a></r>'' COLUMNS n FOR ORDINALITY, a integer, x xml PATH ''a'', i interval PATH ''a'') x WHERE id = 2');
SELECT ffs_cached('SELECT $1 AS r, count(*) FROM t', NULL, ROW(1, 2));
SELECT ffs_cached('SELECT $1 AS r, count(*) FROM t', NULL, ARRAY[ROW(1, 2)]);
SELECT ffs_cached('SELECT $1 AS r, count(*) FROM t', NULL, ROW('{good}')::moody);
CREATE FUNCTION greater(anyelement, anyelement) RETURNS anyelement LANGUAGE sql STABLE AS 'SELECT greatest($1, $2)';
CREATE AGGREGATE greatest_of(anyelement) (SFUNC = greater, STYPE = anyelement);
SELECT look('SELECT greater(v, 5) FROM t WHERE id = 2');
SELECT look('SELECT greatest_of(v) FROM t');

/* arguments that are left out, and what functions in SQL give, cast */
CREATE FUNCTION since(n integer, at timestamptz DEFAULT now()) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN at > '2000-01-01'; END $$;
SELECT look('SELECT since(v) FROM t WHERE id = 2');
SELECT look('SELECT since(v, ''2001-01-01'') FROM t WHERE id = 2');
CREATE FUNCTION mood_integer(mood) RETURNS integer LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT v FROM plain); END $$;
CREATE CAST (mood AS integer) WITH FUNCTION mood_integer(mood) AS ASSIGNMENT;
CREATE FUNCTION cast_one() RETURNS integer LANGUAGE sql STABLE AS $$ SELECT 'good'::mood FROM t WHERE id = 2 $$;
CREATE FUNCTION cast_rows() RETURNS TABLE (n integer) LANGUAGE sql STABLE BEGIN ATOMIC SELECT 'good'::mood FROM t WHERE id = 2; END;
CREATE FUNCTION cast_records() RETURNS SETOF record LANGUAGE sql STABLE AS $$ SELECT 'good'::mood FROM t WHERE id = 2 $$;
CREATE FUNCTION cast_kept(OUT a bigint, OUT b text) LANGUAGE sql STABLE AS $$ SELECT id, at FROM t WHERE id = 2 $$;
SELECT look('SELECT cast_one()');
SELECT look('SELECT * FROM cast_rows()');
SELECT look('SELECT * FROM cast_records() AS (n integer)');
SELECT look('SELECT (cast_kept()).*') ~ 'filled';

/* functions of domains in literals and parameters run queries themselves */
CREATE FUNCTION asks(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM ffs_cached(format('SELECT %s FROM t', i)) FROM generate_series(1, 300) i;
	RETURN true;
END $$;
CREATE DOMAIN asking AS integer CHECK (asks(VALUE));
CREATE TYPE asker AS (a asking);
SELECT ffs_cached('SELECT $1::asking, max(id) FROM t', NULL, '1');
SELECT ffs_cached('SELECT $1::asker, max(id) FROM t', NULL, '(1)');
SELECT ffs_cached('SELECT ''(1)''::asker, max(id) FROM t');
SELECT did() IS NOT NULL;

/* settings */
SELECT look('SELECT at, f, at::text AS a, f::text AS g, date_trunc(''day'', at) AS d, to_char(at, ''HH24'') AS h FROM t WHERE id = 1') ~ 'the same';
SET timezone = 'Asia/Tokyo';
SELECT look('SELECT at, f, at::text AS a, f::text AS g, date_trunc(''day'', at) AS d, to_char(at, ''HH24'') AS h FROM t WHERE id = 1');
SET datestyle = 'German';
SELECT look('SELECT at, f, at::text AS a, f::text AS g, date_trunc(''day'', at) AS d, to_char(at, ''HH24'') AS h FROM t WHERE id = 1');
SET extra_float_digits = -10;
SELECT look('SELECT at, f, at::text AS a, f::text AS g, date_trunc(''day'', at) AS d, to_char(at, ''HH24'') AS h FROM t WHERE id = 1');
RESET extra_float_digits;
RESET datestyle;
RESET timezone;
SELECT look('SELECT count(*) FROM t WHERE at < ''01/02/2026''');
SET datestyle = 'ISO, DMY';
SELECT look('SELECT count(*) FROM t WHERE at < ''01/02/2026''');
RESET datestyle;

/* what cannot be kept is given even so, and why */
CREATE SEQUENCE numbers;
CREATE FUNCTION hidden() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT sum(w) FROM child); END $$;
CREATE AGGREGATE odd_sum(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
SELECT look('SELECT count(*) FROM t WHERE at < now()');
SELECT count(*) FROM ffs_cached('SELECT CURRENT_DATE, id FROM t');
SELECT count(*) FROM ffs_cached('SELECT session_user, id FROM t');
SELECT look('SELECT count(*) FROM t WHERE current_user IS NOT NULL');
SELECT look('SELECT count(*) FROM t WHERE at < ''today''');
SELECT look('SELECT count(*) FROM t WHERE at < timestamptz ''tomorrow'' OR s = ''now''');
SELECT look('SELECT count(*) FROM t WHERE s = ''now''');
SELECT count(*) FROM ffs_cached('SELECT random(), id FROM t');
SELECT count(*) FROM ffs_cached('SELECT nextval(''numbers''), id FROM t');
SELECT look('SELECT hidden()');
SELECT look('SELECT odd_sum(v) FROM t');
SELECT look('SELECT * FROM plain');
SELECT look('SELECT count(*) FROM t JOIN plain ON true');
SELECT look('SELECT count(*) FROM t_history');
SELECT look('SELECT count(*) FROM pg_class WHERE relname = ''t'' AND relnamespace = ''cached_test''::regnamespace');
SELECT count(*) FROM ffs_cached('SELECT xmin FROM t');
SELECT count(*) > 0 FROM ffs_cached('SELECT ctid, * FROM t TABLESAMPLE BERNOULLI (100)');
SELECT look('SELECT tableoid::regclass::text, count(*) FROM t GROUP BY 1');
SELECT look('SELECT 1 AS one');
SELECT look('SELECT s::date FROM t WHERE id < 0');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT again();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT again();
SELECT again();
COMMIT;
SET ffstorage.cache = off;
SELECT again();
RESET ffstorage.cache;
SELECT again();

/* long results: in pieces, and not at all */
UPDATE t SET s = repeat('long', 30000) WHERE id IN (1, 2, 3);
SELECT look('SELECT id, s FROM t ORDER BY id');
SELECT look('SELECT id, s FROM t ORDER BY id');
UPDATE t SET s = 'short' WHERE id = 1;
SELECT look('SELECT id, s FROM t ORDER BY id');
SELECT look('SELECT id, s FROM t ORDER BY id');
SELECT look('SELECT repeat(s, 20) FROM t');
SELECT look('SELECT repeat(s, 20) FROM t');

/* invalidated by hand */
SELECT again(), again();
SELECT ffs_cache_invalidate('cached_test.t') > 0;
SELECT again(), again();

/* roles: what one may see is nobody else's */
CREATE ROLE cached_a;
CREATE ROLE cached_b;
GRANT SELECT ON t TO cached_a;
SET ROLE cached_a;
SELECT look('SELECT count(*) FROM cached_test.t');
SELECT look('SELECT count(*) FROM cached_test.t');
SET ROLE cached_b;
SELECT look('SELECT count(*) FROM cached_test.t');
RESET ROLE;
GRANT cached_a TO cached_b;
SET ROLE cached_b;
SELECT look('SELECT count(*) FROM cached_test.t');
SELECT look('SELECT count(*) FROM cached_test.t');
RESET ROLE;
REVOKE cached_a FROM cached_b;
SET ROLE cached_b;
SELECT ffs_cached('SELECT count(*) FROM cached_test.t');
RESET ROLE;
REVOKE SELECT ON t FROM cached_a;
SET ROLE cached_a;
SELECT ffs_cached('SELECT count(*) FROM cached_test.t');
RESET ROLE;
/* as a member of pg_database_owner */
SELECT current_database() AS db, current_user AS me \gset
GRANT SELECT ON t TO pg_database_owner;
ALTER DATABASE :"db" OWNER TO cached_a;
SET ROLE cached_a;
SELECT look('SELECT count(*) FROM cached_test.t');
SELECT look('SELECT count(*) FROM cached_test.t');
SELECT ffs_get(NULL::cached_test.t, 2) IS NOT NULL, ffs_get(NULL::cached_test.t, 2) IS NOT NULL;
RESET ROLE;
ALTER DATABASE :"db" OWNER TO :"me";
SET ROLE cached_a;
SELECT look('SELECT count(*) FROM cached_test.t');
SELECT ffs_get(NULL::cached_test.t, 2) IS NOT NULL;
RESET ROLE;
/* functions that run as their owners are not looked into */
CREATE FUNCTION as_owner() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT count(*) FROM cached_test.t';
SET ROLE cached_a;
SELECT look('SELECT cached_test.as_owner()');
RESET ROLE;

/* tenants: what one writes leaves the others' results alone */
CREATE TABLE owned (id integer PRIMARY KEY, tenant integer NOT NULL, v integer);
SELECT ffs_manage('owned', 'scd2', 'tenant');
CREATE VIEW owned_definer AS SELECT * FROM owned;
CREATE VIEW owned_invoker WITH (security_invoker) AS SELECT * FROM owned;
INSERT INTO owned SELECT i, i % 3, i FROM generate_series(1, 30) i;
GRANT SELECT, INSERT, UPDATE, DELETE ON owned, owned_definer, owned_invoker TO cached_a;
CREATE FUNCTION of_tenant(tenant text, q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM ffs_set_tenant(tenant);
	result := look(q);
	RETURN result;
END $$;
SELECT did() IS NOT NULL;
SET ROLE cached_a;
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('1', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('1', 'SELECT count(*), sum(v) FROM owned');
SELECT look('SELECT count(*), sum(v) FROM owned');
SELECT look('SELECT count(*), sum(v) FROM owned');
BEGIN;
SELECT ffs_set_tenant('1');
UPDATE owned SET v = v + 1 WHERE id = 1;
COMMIT;
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('1', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('1', 'SELECT count(*), sum(v) FROM owned');
BEGIN;
SELECT ffs_set_tenants('{0,1}');
SELECT look('SELECT count(*), sum(v) FROM owned');
SELECT look('SELECT count(*), sum(v) FROM owned');
COMMIT;
BEGIN;
SELECT ffs_set_tenant('2');
INSERT INTO owned VALUES (31, 2, 31);
COMMIT;
BEGIN;
SELECT ffs_set_tenants('{1,0}');
SELECT look('SELECT count(*), sum(v) FROM owned');
COMMIT;
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned_invoker');
SELECT of_tenant('1', 'SELECT count(*), sum(v) FROM owned_invoker');
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned_invoker');
SELECT of_tenant('0', 'SELECT ffs_tenant() AS who, count(*) FROM owned');
SELECT of_tenant('1', 'SELECT ffs_tenant() AS who, count(*) FROM owned');
RESET ROLE;
/* a superuser reads all, whatever the tenant: whose rows change does not matter */
SELECT look('SELECT count(*), sum(v) FROM owned');
SELECT look('SELECT count(*), sum(v) FROM owned');
SET ROLE cached_a;
BEGIN;
SELECT ffs_set_tenant('2');
DELETE FROM owned WHERE id = 31;
COMMIT;
RESET ROLE;
SELECT look('SELECT count(*), sum(v) FROM owned');
UPDATE owned SET v = 0;
SET ROLE cached_a;
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('1', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('2', 'SELECT count(*), sum(v) FROM owned');
RESET ROLE;
UPDATE owned SET tenant = 1 WHERE id = 3;
SET ROLE cached_a;
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('1', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('2', 'SELECT count(*), sum(v) FROM owned');
RESET ROLE;
COPY owned (id, tenant, v) FROM STDIN;
100	0	1
\.
SET ROLE cached_a;
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
RESET ROLE;
/* policies of one's own: by what they ask for */
CREATE POLICY only_even ON owned AS RESTRICTIVE FOR SELECT USING (v % 2 = 0);
SET ROLE cached_a;
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
RESET ROLE;
DROP POLICY only_even ON owned;
CREATE POLICY lately ON owned AS RESTRICTIVE FOR SELECT USING (now() > '2000-01-01');
SET ROLE cached_a;
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
RESET ROLE;
DROP POLICY lately ON owned;
SET ROLE cached_a;
SELECT of_tenant('0', 'SELECT count(*), sum(v) FROM owned');
RESET ROLE;

/* unmanaged: no longer kept */
DROP VIEW owned_definer, owned_invoker;
SELECT ffs_unmanage('owned', false);
SELECT look('SELECT count(*) FROM owned');

SET client_min_messages = warning;
SELECT ffs_unmanage_all();
DROP SCHEMA cached_test CASCADE;
DROP ROLE cached_a;
DROP ROLE cached_b;
DROP EXTENSION ffstorage;
