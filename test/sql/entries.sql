/*
 * Audit entries hold the very bytes that to_jsonb() makes, with times in UTC:
 * whole rows and single values, of types that are laid out directly and of
 * others, short and long, in more columns than jsonb counts without an offset.
 */
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
CREATE SCHEMA audited;
SET search_path = audited, public;
SET timezone = 'UTC';
CREATE DOMAIN cents AS numeric(20,2);
CREATE DOMAIN id AS bigint;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE every_type (
	k id PRIMARY KEY, b boolean, i2 smallint, i4 integer, i8 bigint, n numeric, c cents,
	t text, v varchar, ch char(9), nm name, "Ö ""x"" long name that is not the longest" text, u uuid,
	d date, ts timestamp, tz timestamptz, j jsonb, js json, f4 real, f8 double precision, a integer[], ta timestamptz[],
	y bytea, iv interval, m mood, p pair, r int4range, ip inet, e1 text, e2 text, e3 text, e4 text, e5 text, e6 integer, e7 integer, e8 numeric,
	g text GENERATED ALWAYS AS (upper(t)) STORED, left_out text);
CREATE TABLE made (LIKE every_type);
SELECT ffs_manage('every_type', 'copy_on_change', exclude => '{left_out}');
SET datestyle = 'ISO, MDY';


/* one of them, or NULL */
CREATE FUNCTION pick(VARIADIC choices anycompatiblearray) RETURNS anycompatible LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN random() > 0.15 THEN choices[1 + floor(random() * cardinality(choices))::integer] END $$;
CREATE FUNCTION some_text(most integer) RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT pick('', left(repeat(E'ä"\\\n' || md5(random()::text), 1 + most / 32), (random() * most)::integer)) $$;
CREATE FUNCTION some_number() RETURNS numeric LANGUAGE sql VOLATILE AS
$$ SELECT pick(x, -x, x * 10000, x / 1000, x / 10::numeric ^ 30, 0.00, 1e300, 100.0, 'NaN', 'Infinity', '-Infinity')
     FROM (SELECT 1 + trunc(random()::numeric * 10::numeric ^ (random() * 22)::integer)) AS n(x) $$;
CREATE FUNCTION some_row(key bigint) RETURNS made LANGUAGE sql VOLATILE AS
$$
SELECT key, random() < 0.5,
       pick(0, 1, -1, 32767, -32768, 10000, -10000, (random() * 60000 - 30000)::integer)::smallint,
       pick(0, 1, -1, 2147483647, -2147483648, 100000000, (random() * 4e9 - 2e9)::integer),
       pick(0, 1, -1, 9223372036854775807, -9223372036854775808, 10000, 100000000, 1000000000000, 123400000000, (random() * 9e18)::bigint),
       some_number(), (random() * 1e9)::numeric(20,2),
       some_text(40), some_text(300), left(md5(random()::text), (random() * 9)::integer), some_text(60)::name, some_text(20),
       md5(random()::text)::uuid,
       pick('infinity', '-infinity', '0044-03-15 BC', date '2000-01-01' + (random() * 10000)::integer),
       pick('infinity', '-infinity', '0044-03-15 12:00 BC', timestamp '2000-01-01' + random() * interval '9999 days'),
       pick('infinity', '-infinity', '0044-03-15 12:00 BC', timestamptz '2000-01-01' + random() * interval '9999 days'),
       pick('null', 'true', '1.50', '"x"', '[]', '{}', '{"a": {"b": [1, "2", null, {"c": []}]}}', jsonb_build_object('k', some_text(200), 'l', random())),
       pick('null', 'false', '-1e3', '"\u00e4"', '[ 1,2 ]', '{"b":1, "a": [], "b": 2}')::json,
       pick('NaN', 'Infinity', random()::real, -0.0), pick('NaN', '-Infinity', random(), 1e200),
       pick('{}', '{1,NULL,3}', '{{1,2},{3,4}}')::integer[], ARRAY[timestamptz '2000-01-01' + random() * interval '9999 days', NULL],
       decode(md5(random()::text), 'hex'), random() * interval '9999 days', pick('good', 'bad')::mood, ROW((random() * 9)::integer, some_text(9))::pair,
       int4range(1, 1 + (random() * 9)::integer), '10.0.0.0/8'::inet + (random() * 99)::integer,
       some_text(3), some_text(3), some_text(3), some_text(20000), some_text(3),
       (random() * 9)::integer, NULL::integer, random()::numeric, NULL::text, some_text(10)
$$;


/* The columns that can be written, and how they come out of some_row(). */
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns,
       string_agg(format('r.%I', attname), ', ' ORDER BY attnum) AS of_row
  FROM pg_attribute WHERE attrelid = 'every_type'::regclass AND attnum > 0 AND attgenerated = '' AND attname !~ '^(created|updated)_' \gset

SELECT setseed(0.37);
INSERT INTO every_type (:columns) SELECT :of_row FROM generate_series(1, 400) i, LATERAL some_row(i) r;
SET timezone = 'America/St_Johns'; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'iso_8601'; SET extra_float_digits = 0; SET bytea_output = 'escape';
CREATE TABLE before AS SELECT * FROM every_type;
UPDATE every_type t SET (:columns) = (SELECT :of_row FROM some_row(t.k) r);
/* long rows, their values in the toast table */
UPDATE every_type SET e4 = repeat(md5(k::text), 300), e5 = (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 300)) WHERE k <= 20;
UPDATE every_type SET i4 = 7, e4 = e4 || '!' WHERE k <= 20;
DELETE FROM every_type WHERE k % 10 = 0;
COPY every_type (k, t, n) FROM stdin;
1001	by copy	1e10
1002	\N	NaN
\.

/* What to_jsonb() makes of a row, or of a column of it, where the time is UTC. */
CREATE FUNCTION same(a jsonb, b jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT pg_catalog.record_image_eq(ROW(a), ROW(b)) $$;
SET datestyle = 'ISO, DMY'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex'; SET timezone = 'UTC';
SELECT 'insert' AS entries, count(*) AS of_rows, count(*) FILTER (WHERE NOT same(a.new_value, to_jsonb(was) - 'left_out')) AS differ
  FROM every_type_audit a JOIN before was USING (k) WHERE a.operation = 'insert';
WITH entries AS (
	SELECT a.*, row_number() OVER (PARTITION BY k, field_name ORDER BY entry_id) = 1 AS is_first,
	       row_number() OVER (PARTITION BY k, field_name ORDER BY entry_id DESC) = 1 AS is_last
	  FROM every_type_audit a WHERE operation = 'update')
SELECT 'update' AS entries, count(*) > 9000 AS many, count(DISTINCT field_name) AS fields,
       count(*) FILTER (WHERE is_first AND NOT same(e.old_value, to_jsonb(was) -> e.field_name)) AS differ_before,
       count(*) FILTER (WHERE is_last AND NOT same(e.new_value, to_jsonb(is_now) -> e.field_name)) AS differ_after
  FROM entries e JOIN before was USING (k) JOIN every_type is_now USING (k);
SELECT 'delete' AS entries, count(*) AS of_rows,
       count(*) FILTER (WHERE a.old_value - 'updated_at' <> to_jsonb(was) - '{left_out,updated_at}'::text[] || u.changes) AS differ
  FROM every_type_audit a JOIN before was USING (k),
       LATERAL (SELECT jsonb_object_agg(field_name, new_value ORDER BY entry_id) FROM every_type_audit c
                 WHERE c.k = a.k AND c.operation = 'update') u(changes)
 WHERE a.operation = 'delete';
SELECT k, new_value ->> 't' AS t, new_value -> 'n' AS n, (SELECT count(*) FROM jsonb_object_keys(new_value)) AS members
  FROM every_type_audit WHERE k > 1000 ORDER BY k;
\getenv srcdir PG_ABS_SRCDIR
\set ECHO none
\set file :srcdir '/laws.sql'
\ir :file
\set ECHO all
SELECT * FROM laws('every_type');

-- rows that were there before: their entries, too, hang on nothing that the session has set
CREATE TABLE older (k integer PRIMARY KEY, tz timestamptz, f8 double precision, left_out text);
INSERT INTO older VALUES (1, '2020-01-01 12:00+00', 0.1::float8 + 0.2::float8, 'x');
SET timezone = 'Asia/Tokyo'; SET extra_float_digits = 0;
SELECT ffs_manage('older', 'copy_on_change', exclude => '{left_out}');
ALTER TABLE older ADD COLUMN tt timestamptz DEFAULT '2021-01-01 12:00+00';
UPDATE older SET tz = tz + interval '1 day', f8 = 1, tt = tt + interval '1 day';
SELECT new_value - '{created_at,created_by,updated_at,updated_by}'::text[] AS new_value FROM older_audit WHERE operation = 'baseline';
SELECT field_name, old_value FROM older_audit WHERE operation = 'update' ORDER BY entry_id;
SELECT * FROM laws('older');
RESET timezone; RESET extra_float_digits;

-- what makes a json of a value may itself write the table
CREATE TYPE busy AS ENUM ('no', 'yes');
CREATE TABLE nested (k integer PRIMARY KEY, v busy, n integer);
CREATE FUNCTION busy_json(busy) RETURNS json LANGUAGE plpgsql AS
$$
BEGIN
	IF $1 = 'yes' THEN
		UPDATE audited.nested SET n = n + 1, v = 'no' WHERE k = 2;
	END IF;
	RETURN to_json($1::text);
END
$$;
CREATE CAST (busy AS json) WITH FUNCTION busy_json(busy);
SELECT ffs_manage('nested', 'copy_on_change');
INSERT INTO nested VALUES (1, 'no', 1), (2, 'no', 1), (3, NULL, 1);
UPDATE nested SET n = 5, v = 'yes' WHERE k = 1;
INSERT INTO nested VALUES (4, 'yes', 1);
UPDATE nested SET n = 6 WHERE k = 3;
SELECT k, operation, field_name, old_value, new_value - '{created_at,created_by,updated_at,updated_by}'::text[] AS new_row
  FROM (SELECT k, entry_id, operation, field_name, old_value, CASE WHEN jsonb_typeof(new_value) = 'object' THEN new_value END AS new_value FROM nested_audit) a
 ORDER BY k, entry_id;
SELECT * FROM laws('nested');
-- an error in it leaves all in order
CREATE OR REPLACE FUNCTION busy_json(busy) RETURNS json LANGUAGE plpgsql AS $$BEGIN RETURN 1 / ($1 = 'no')::integer; END$$;
BEGIN;
SAVEPOINT s;
UPDATE nested SET v = 'yes', n = 7 WHERE k = 3;
ROLLBACK TO s;
UPDATE nested SET v = 'no', n = 8 WHERE k = 3;
COMMIT;
SELECT k, field_name, old_value, new_value FROM nested_audit WHERE k = 3 AND operation = 'update' ORDER BY entry_id;
SELECT ffs_unmanage_all();
DROP SCHEMA audited CASCADE;
