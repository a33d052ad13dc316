/* ffs_cached gives each row as to_jsonb() would: every type, every value that is special, all settings, names that come twice. */
SET client_min_messages = warning;
CREATE EXTENSION ffstorage;
CREATE SCHEMA json_test;
SET search_path = json_test, public;

CREATE TYPE mood AS ENUM ('sad', 'ok "quoted"', 'happy');
CREATE TYPE pair AS (a integer, "B b" text);
CREATE DOMAIN small AS numeric(6, 2) CHECK (value < 1000);
CREATE DOMAIN stamp AS timestamptz;
CREATE DOMAIN words AS text[];
CREATE TABLE t (
	id integer PRIMARY KEY,
	c_bool boolean, c_int2 smallint, c_int4 integer, c_int8 bigint, c_float4 real, c_float8 double precision, c_numeric numeric,
	c_text text, c_varchar varchar(300), c_char char(5), c_name name, c_char1 "char", c_uuid uuid,
	c_date date, c_timestamp timestamp, c_timestamptz timestamptz, c_time time, c_timetz timetz, c_interval interval,
	c_bytea bytea, c_json json, c_jsonb jsonb, c_ints integer[], c_texts text[], c_pair pair, c_pairs pair[], c_mood mood, c_moods mood[],
	c_small small, c_stamp stamp, c_words words, c_inet inet, c_cidr cidr, c_mac macaddr, c_bit bit(3), c_varbit bit varying, c_point point, c_range int4range,
	c_tsranges tstzmultirange, c_tsvector tsvector, c_money money, c_oid oid, c_class regclass, c_lsn pg_lsn, c_times timestamptz[], c_jsonbs jsonb[],
	"a column with a name that is as long as a name may be, sixty-th" integer, "Zz" integer, "é" text
);
SELECT ffs_manage('t', stamps => false);

INSERT INTO t (id) VALUES (0);
INSERT INTO t VALUES (1, true, 1, 2, 3, 1.5, 2.5, 4.50, 'text', 'varchar', 'ch', 'name', 'c', '7d0f4a52-5a0e-4d0b-9a55-0c8f6a3f2b11',
	'2026-01-01', '2026-01-01 12:00:00.5', '2026-07-01 12:00:00+00', '12:00', '12:00+02', '1 day 2 hours',
	'\x00ff', '{"a": [1, 2.50, null]}', '{"b": {"c": []}}', '{1,NULL,3}', '{a,"b c",NULL}', '(1,x)', '{"(1,x)","(,)"}', 'happy', '{sad,happy}',
	12.30, '2026-07-01 12:00:00+00', '{a,b}', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '101', '1', '(1,2)', '[1,5)',
	'{[2026-01-01,2026-02-01)}', 'a:1 b:2', 12.5, 17, 'pg_class', '0/16', '{2026-07-01 12:00:00+00}', '{"1","{}"}', 1, 2, 'ü');
INSERT INTO t (id, c_bool, c_int2, c_int4, c_int8, c_float4, c_float8, c_numeric, c_text, c_varchar, c_char, c_date, c_timestamp, c_timestamptz, c_interval, c_bytea, c_json, c_jsonb, c_ints, c_moods)
VALUES
	(2, false, -32768, -2147483648, -9223372036854775808, 'NaN', 'Infinity', 'NaN', '', '', '', 'infinity', 'infinity', 'infinity', '-1 year', '', 'null', 'null', '{}', '{}'),
	(3, false, 32767, 2147483647, 9223372036854775807, '-Infinity', '-Infinity', 'Infinity', E'"\\\n\t\x01', 'x', 'x', '-infinity', '-infinity', '-infinity', '1.5 s', '\xdeadbeef', '"s"', '"s"', '{{1,2},{3,4}}', NULL),
	(4, NULL, 0, 0, 0, '-0', '-0', '-Infinity', repeat('long ', 2000), NULL, NULL, '0044-03-15 BC', '0044-03-15 BC', '0044-03-15 BC', '0', NULL, '1.0', '1.0', NULL, NULL),
	(5, NULL, 10, 10000, 100000000, 1e-30, 1e300, 0, '<script>&amp;', NULL, NULL, '9999-12-31', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', NULL, NULL, ' [ ] ', 'true', NULL, NULL),
	(6, NULL, 1, 10001, 123456789012345678, 0.1, 0.1, 0.000, NULL, NULL, NULL, NULL, NULL, '2026-03-29 00:59:59.999999+00', NULL, NULL, '{"k": 1, "k": 2}', 'false', NULL, NULL),
	(7, NULL, -1, -10000, -100000000, 3, 1e15, 12345678901234567890123456789.01234567890123456789, NULL, NULL, NULL, NULL, NULL, '2026-03-29 01:00:00+00', NULL, NULL, NULL, '[]', NULL, NULL),
	(8, NULL, 999, 99999999, 10000000000000000, 1e10, 1e16, 1e-40, NULL, NULL, NULL, NULL, NULL, '1900-01-01 00:00+00', NULL, NULL, NULL, '-0.00', NULL, NULL),
	(9, NULL, NULL, -1, -1, NULL, 123456.789, -1e40, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '12345678901234567890.10', NULL, NULL);

/* The rows of a query by to_jsonb(), by ffs_cached that runs it and, again, by ffs_cached that has it: to the byte, and member by member, which its layout is for. */
CREATE FUNCTION members(r jsonb) RETURNS text LANGUAGE sql AS $$ SELECT r::text || coalesce(string_agg(k || '=' || coalesce((r -> k)::text, 'LOST'), ',' ORDER BY k), '') FROM jsonb_object_keys(r) k $$;
CREATE FUNCTION differs(query text, OUT what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	plain text[];
	first text[];
	again text[];
BEGIN
	EXECUTE format('SELECT array_agg(members(to_jsonb(q))) FROM (%s) q', query) INTO plain;
	SELECT array_agg(members(r)) INTO first FROM ffs_cached(query) r;
	SELECT array_agg(members(r)) INTO again FROM ffs_cached(query) r;
	FOR i IN 1 .. greatest(cardinality(plain), cardinality(first), cardinality(again)) LOOP
		IF plain[i] IS DISTINCT FROM first[i] OR plain[i] IS DISTINCT FROM again[i] THEN
			what := format('%s, row %s: %s, NOT %s, THEN %s', query, i, plain[i], first[i], again[i]);
			RETURN NEXT;
		END IF;
	END LOOP;
	IF plain IS NULL THEN
		what := query || ': no rows';
		RETURN NEXT;
	END IF;
END $$;

/* all of it, and each column alone, by all settings that print differently */
CREATE FUNCTION all_differ() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	setting record;
	attribute name;
BEGIN
	FOR setting IN SELECT * FROM (VALUES ('timezone', 'UTC'), ('timezone', 'Europe/Berlin'), ('timezone', 'America/New_York'), ('timezone', '<+0530>-05:30'), ('datestyle', 'German'),
			('intervalstyle', 'iso_8601'), ('intervalstyle', 'sql_standard'), ('bytea_output', 'escape'), ('extra_float_digits', '0'), ('extra_float_digits', '3')) s(name, value)
	LOOP
		PERFORM set_config(setting.name, setting.value, true);
		RETURN QUERY SELECT setting.name || ' ' || d FROM differs('SELECT * FROM t ORDER BY id') d;
	END LOOP;
	FOR attribute IN SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 LOOP
		RETURN QUERY SELECT * FROM differs(format('SELECT %I FROM t ORDER BY id', attribute));
	END LOOP;
END $$;
SELECT * FROM all_differ();

/* rows of other shapes */
SELECT * FROM differs('SELECT FROM t');
SELECT * FROM differs('SELECT id AS x, c_int4 AS x, c_text AS x FROM t ORDER BY id');
SELECT * FROM differs('SELECT c_text AS x, id AS x, NULL AS y, c_int4 AS xx FROM t ORDER BY id');
SELECT * FROM differs('SELECT id, 1, 2, c_int4::bigint + 1 FROM t ORDER BY id');
SELECT * FROM differs('SELECT t FROM t ORDER BY id');
SELECT * FROM differs('SELECT t, t.c_pair, (t.c_pair).* FROM t ORDER BY id');
SELECT * FROM differs('SELECT ROW(id, c_text), ARRAY(SELECT ROW(u.id) FROM t u WHERE u.id < 3) FROM t ORDER BY id');
SELECT * FROM differs('SELECT id, ''unknown'' AS literal, NULL, ARRAY[NULL, 1], c_small::numeric(6, 3) FROM t ORDER BY id');
SELECT * FROM differs('SELECT count(*), sum(c_numeric) FILTER (WHERE id IN (1, 5)), avg(c_int8), max(c_timestamptz), array_agg(id ORDER BY id) FROM t');
SELECT * FROM differs('SELECT jsonb_agg(c_jsonb ORDER BY id) AS a, jsonb_object_agg(id, c_text) FROM t');
SELECT * FROM differs('SELECT id, (SELECT count(*) FROM t) AS n FROM t WHERE id < 0 UNION ALL SELECT id, 1 FROM t ORDER BY 1');
/* 100 columns: more than a stride of entries, twice */
SELECT d.* FROM (SELECT 'SELECT ' || string_agg(format('id + %s AS "%s"', n, repeat('c', n % 7) || n), ', ' ORDER BY n) || ' FROM t ORDER BY id' AS query FROM generate_series(1, 100) n) q, differs(q.query) d;
/* a value that is not stored in the row */
UPDATE t SET c_text = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 3000) n), c_jsonb = (SELECT jsonb_object_agg(n, md5(n::text)) FROM generate_series(1, 300) n) WHERE id = 1;
SELECT * FROM differs('SELECT id, c_text, c_jsonb FROM t ORDER BY id');

/* a type of one's own whose cast to json says what it is */
CREATE TYPE temperature AS (degrees numeric);
CREATE FUNCTION as_json(temperature) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT json_build_object('celsius', ($1).degrees) $$;
CREATE CAST (temperature AS json) WITH FUNCTION as_json(temperature);
ALTER TABLE t ADD COLUMN c_temperature temperature;
UPDATE t SET c_temperature = ROW(id);
SELECT * FROM differs('SELECT id, c_temperature FROM t ORDER BY id');

/* the time zone may change while the query runs */
CREATE FUNCTION elsewhere(integer) RETURNS text LANGUAGE sql AS $$ SELECT set_config('timezone', CASE WHEN $1 % 2 = 0 THEN 'UTC' ELSE 'Asia/Tokyo' END, false) $$;
SET timezone = 'UTC';
SELECT r ->> 'at' FROM ffs_cached('SELECT elsewhere(id), timestamptz ''2026-01-01 12:00+00'' AS at FROM (SELECT id FROM t WHERE id < 4 ORDER BY id OFFSET 0) t') r;
RESET timezone;

SELECT ffs_unmanage_all();
DROP SCHEMA json_test CASCADE;
DROP EXTENSION ffstorage;
