/* Query texts: templates with values in them, finished texts, names. */
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;

/* a place without quotes: a constant stays a constant */
SELECT v AS "id = %s", ffs_validate_template('SELECT * FROM t WHERE id = %s', v) AS safe
FROM unnest(ARRAY['5', '-5', '- 5', ' 5 ', '1e3', '''x''', '$$x$$', 'E''\x41''', 'U&''\0041''', 'x''1F''', 'NULL', 'true', '(1)', '1 /* a */', '1 --',
	'id', '"id"', '1 OR 1=1', '1 OR/**/1=1', '1; DROP TABLE t', '1 UNION SELECT 1', '1+1', '+1', '1::int', 'date ''2020-01-01''',
	'--5', '1)', '(1', '$1', '''', '/*', '', ' ', ';', 'f(1)', '(SELECT 1)', '1 LIMIT 1', '1, 2', '٣']) WITH ORDINALITY AS u (v, n)
ORDER BY n;
SELECT v AS "id = -%s", ffs_validate_template('SELECT * FROM t WHERE id = -%s AND a', v) AS safe
FROM unnest(ARRAY['5', '-5', '5 AND b', '(5)', '1 --']) WITH ORDINALITY AS u (v, n)
ORDER BY n;

/* a place in quotes */
SELECT v AS "name = '%s'", ffs_validate_template('SELECT * FROM t WHERE name = ''%s'' AND id = 5', v) AS safe
FROM unnest(ARRAY['O''''Brien', 'O''Brien', '', '%s', '%%', '\', '\''', 'x'' OR ''1''=''1', 'x'' --', 'x''; DROP TABLE t; --', E'x''\n''y',
	'x'' ''y', 'x''||''y', ''' UNION SELECT NULL --', 'x''/*', '*/', 'x'' AND id = 6 --', '北京''', 'x" OR ""="']) WITH ORDINALITY AS u (v, n)
ORDER BY n;
SELECT v AS "E'%s'", ffs_validate_template('SELECT E''%s'', b', v) AS safe
FROM unnest(ARRAY['x', 'x\', '\''', '\'', 1 --', '\u00e9', '\uD800', '\000']) WITH ORDINALITY AS u (v, n) ORDER BY n;
SELECT v AS "$a$%s$a$", ffs_validate_template('SELECT $a$%s$a$, b', v) AS safe
FROM unnest(ARRAY['x', '''', '$b$', '$a$', '$a$, $a$', '$']) WITH ORDINALITY AS u (v, n) ORDER BY n;
SELECT v AS "U&'%s'", ffs_validate_template('SELECT U&''%s''', v) AS safe
FROM unnest(ARRAY['x', '\0027', '\', '\\', ''' UESCAPE ''!', '\D83D\DE00']) WITH ORDINALITY AS u (v, n) ORDER BY n;
SELECT v AS "LIKE '%%%s%%'", ffs_validate_template('SELECT 5 % 2 FROM t WHERE name LIKE ''%%%s%%''', v) AS safe
FROM unnest(ARRAY['x', '%', '_', '''', '%'' OR name LIKE ''%']) WITH ORDINALITY AS u (v, n) ORDER BY n;
/* by the session's settings */
SET standard_conforming_strings = off;
SELECT v AS "name = '%s'", ffs_validate_template('SELECT * FROM t WHERE name = ''%s'' AND id = 5', v) AS safe
FROM unnest(ARRAY['x', 'x\\', 'x\\\\', 'O''''Brien', '\\'' OR 1=1 --']) WITH ORDINALITY AS u (v, n) ORDER BY n;
SELECT ffs_validate_template('SELECT * FROM t WHERE name = ''%s'' AND pass = ''%s''', '\\', ' OR 1=1 --') AS safe;
RESET standard_conforming_strings;
SELECT ffs_validate_template('SELECT * FROM t WHERE name = ''%s'' AND pass = ''%s''', '\', ' OR 1=1 --') AS safe;

/* names, comments, statements that have no constants */
SELECT template, v, ffs_validate_template(template, v) AS safe
FROM (VALUES ('SELECT * FROM %s', ARRAY['users', '"Users"', ' users ', 'public.users', 'users u', 'users;', 'name', 'select', 'users, secrets', '(SELECT 1)']),
	('SELECT "%s" FROM t', ARRAY['a', 'a b', 'a""b', 'a"b', '', 'a", "b']),
	('SELECT * FROM log_%s WHERE a', ARRAY['2024', 'a', '', ' x', '2024 JOIN u ON true', '"']),
	('SELECT x::%s', ARRAY['foo', 'foo[]', 'foo, y']),
	('SELECT * FROM t ORDER BY %s', ARRAY['1', '2', 'name', '1 DESC', '(SELECT 1)']),
	('SELECT 1 /* %s */ + 1', ARRAY['a', '*/', '*/ + 1 /*', '/* */', '/*']),
	(E'SELECT 1 -- %s\n + 1', ARRAY['a', E'a\n', E'a\n+ 1']),
	('SELECT * FROM t LIMIT 1%s', ARRAY['0', '', ' OFFSET 1', '.5', 'x']),
	('CREATE ROLE r PASSWORD ''%s''', ARRAY['x', 'x''''y', 'x'' SUPERUSER --', ''' SUPERUSER PASSWORD ''']),
	('ALTER SEQUENCE s RESTART %s', ARRAY['5', '-5', '5 OWNED BY NONE', 'x']),
	('SET LOCAL a.b = ''%s''', ARRAY['x', 'x'', ''y']),
	('SET LOCAL a.b = %s', ARRAY['5', '-5', 'on', 'x, y']),
	('EXPLAIN SELECT %s', ARRAY['1', 'a', '1, 2']),
	('COPY (SELECT * FROM t WHERE a = ''%s'') TO STDOUT', ARRAY['1', ''') TO PROGRAM ''id'' --']),
	('%s', ARRAY['1', 'SELECT 1'])) AS c (template, vs), unnest(vs) WITH ORDINALITY AS u (v, n)
WHERE template <> '%s'
ORDER BY template COLLATE "C", n;

/* several places, several values */
SELECT ffs_validate_template('INSERT INTO t VALUES (%s, ''%s'', %s)', '1', 'x', 'NULL'),
	ffs_validate_template('INSERT INTO t VALUES (%s, ''%s'', %s)', '1', 'x', '2), (3, ''y'', 4'),
	ffs_validate_template('SELECT * FROM %s WHERE name LIKE ''%s%%'' LIMIT %s', 'users', 'a', '10'),
	ffs_validate_template('SELECT %s', '1', '2', '3'), ffs_validate_template('SELECT %s', '1', '2', 'a'),
	ffs_validate_template('SELECT %s', VARIADIC ARRAY['1', NULL]), ffs_validate_template('SELECT ''%s''', NULL::text),
	ffs_validate_template(NULL, '1');
SELECT ffs_validate_template('SELECT 1', '1');
SELECT ffs_validate_template('SELECT %s');
SELECT ffs_validate_template('SELECT %s', VARIADIC '{}');
SELECT ffs_validate_template('SELECT %s', VARIADIC NULL);
SELECT ffs_validate_template('SELECT %s, %s', '1');
SELECT ffs_validate_template('SELECT %s, %s', '1', '2', '3');
SELECT ffs_validate_template('SELEC %s', '1');
SELECT ffs_validate_template('SELECT ''%s', '1');
SELECT ffs_validate_template('', '1');
/* too deep for the parser, or for a comparison */
SELECT ffs_validate_template('SELECT %s', repeat('(', 100000) || '1' || repeat(')', 100000)) AS deep,
	ffs_validate_template('SELECT ''%s''', repeat('x', 1000000)) AS long,
	ffs_validate_template('SELECT ''%s''', repeat('x', 1000000) || '''') AS long_unsafe;

/* finished texts: what each check finds */
CREATE FUNCTION verdict(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	at text;
BEGIN
	PERFORM ffs_validate_query(q);
	IF NOT ffs_is_safe_query(q) THEN
		RETURN 'they differ';
	END IF;
	RETURN 'safe';
EXCEPTION WHEN SQLSTATE 'ZF040' THEN
	GET STACKED DIAGNOSTICS at = PG_EXCEPTION_DETAIL;
	IF ffs_is_safe_query(q) THEN
		RETURN 'they differ';
	END IF;
	RETURN split_part(SQLERRM, ': ', 2) || ': ' || at;
END $$;
SELECT q, verdict(q) FROM unnest(ARRAY[
	'SELECT 1; SELECT 2',
	'SELECT * FROM t WHERE a = 1;',
	'SELEC 1',
	'',
	'SELECT ''',
	/* tautologies */
	'SELECT * FROM t WHERE a = 1 OR 1=1',
	'SELECT * FROM t WHERE a = 1 oR/* x */1 = 1',
	'SELECT * FROM t WHERE a = '''' OR ''a''=''a''',
	'SELECT * FROM t WHERE a = '''' OR U&''\0061'' = E''\x61''',
	'SELECT * FROM t WHERE a = '''' OR true',
	'SELECT * FROM t WHERE a = '''' OR 1',
	'SELECT * FROM t WHERE a = '''' OR ''x''',
	'SELECT * FROM t WHERE a = '''' OR NOT 1 = 2',
	'SELECT * FROM t WHERE a = '''' OR 1 IN (1)',
	'SELECT * FROM t WHERE a = '''' OR 1 BETWEEN 0 AND 2',
	'SELECT * FROM t WHERE a = '''' OR 1 LIKE 1',
	'SELECT * FROM t WHERE a = '''' OR 1 IS NOT NULL',
	'SELECT * FROM t WHERE a = '''' OR NULL IS NULL',
	'SELECT * FROM t WHERE a = '''' OR "a" = a',
	'SELECT * FROM t WHERE a = '''' OR t.a >= t.a',
	'SELECT * FROM t WHERE a = '''' OR (SELECT 1) = 1',
	'SELECT * FROM t WHERE a = '''' OR EXISTS (SELECT 1)',
	'SELECT * FROM t WHERE a = '''' OR chr(65) = ''A''',
	'SELECT * FROM t WHERE a = '''' OR length(''a'') = 1',
	'SELECT * FROM t WHERE a = '''' OR CASE WHEN 1=1 THEN true END',
	'SELECT * FROM t WHERE a = '''' OR (b = 1 AND 1=1)',
	'SELECT * FROM t WHERE a = 1 AND 1=2',
	'SELECT * FROM t WHERE a = 1 AND (SELECT ''a'' FROM users LIMIT 1) = ''a''',
	'SELECT * FROM t WHERE a = 1 AND current_user = ''postgres''',
	'SELECT * FROM t WHERE a = 1 GROUP BY a HAVING 1=1',
	'SELECT * FROM t ORDER BY CASE WHEN 1=1 THEN a ELSE b END',
	'DELETE FROM t WHERE a = 1 OR 1=1',
	'UPDATE t SET a = 1 WHERE b = 2 OR 2>1',
	'SELECT * FROM t JOIN u ON t.a = u.a OR 1=1',
	'SELECT * FROM t WHERE a = ''x'' = ''y''',
	'SELECT * FROM t WHERE a = ''x'' OR b LIKE ''%''',
	'SELECT * FROM t WHERE a = 1 OR soundex(''a'') = ''b''',
	'SELECT * FROM t WHERE a = CASE 1 WHEN 2 THEN 3 END',
	/* what looks like them */
	'SELECT * FROM t WHERE 1=1 AND a = 1',
	'SELECT * FROM t WHERE true',
	'SELECT * FROM t WHERE 1 = 0',
	'SELECT * FROM t WHERE (1 = 0 OR a = 1 OR b = 2)',
	'SELECT * FROM t WHERE 1 = 1 OR a = 1',
	'SELECT * FROM t WHERE a = 1 OR 1 = 0',
	'SELECT * FROM t WHERE (a NOT IN (NULL) OR (1 = 1))',
	'SELECT * FROM t WHERE a IN (NULL) AND (1 != 1)',
	'SELECT * FROM t WHERE $1 IS NULL OR a = $1',
	'SELECT * FROM t WHERE a = 1 AND has_role(''x'')',
	'SELECT * FROM t WHERE a = 1 AND (b LIKE ''%%'' OR c LIKE ''%x%'')',
	'SELECT * FROM t JOIN LATERAL (SELECT 1) u ON true',
	'SELECT * FROM t WHERE owner = current_user OR public',
	'SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a)',
	'SELECT * FROM t WHERE (SELECT count(*) FROM u WHERE u.a = t.a) > 5 AND b',
	'SELECT a FROM t GROUP BY a HAVING count(1) = (SELECT max(n) FROM u) AND sum(1) > 2',
	'SELECT * FROM t WHERE d >= date ''1994-01-01'' + interval ''1'' year AND x BETWEEN 0.06 - 0.01 AND 0.06 + 0.01',
	'SELECT * FROM t WHERE name LIKE ''%'' || ''or 1=1'' || ''%''',
	'SELECT * FROM t WHERE name = ''x'''' OR 1=1 -- ''',
	'SELECT * FROM t WHERE name = $$ OR 1=1; -- $$',
	'SELECT "OR 1=1" FROM t',
	/* set operations */
	'SELECT a, b FROM t WHERE a = 1 UNION SELECT NULL, NULL',
	'SELECT a, b FROM t WHERE a = 1 UNION ALL SELECT 1, version()',
	'SELECT a, b, c FROM t WHERE a = 1 UNION SELECT name, 1, 2 FROM users',
	'SELECT a FROM t WHERE a = -1 UNION SELECT name FROM users',
	'SELECT a FROM t UNION SELECT b FROM u WHERE c = 1',
	'SELECT name FROM products WHERE id = 1 UNION SELECT password FROM users',
	'SELECT name FROM products WHERE id = $1 UNION SELECT name FROM archive',
	'SELECT name FROM products UNION ALL SELECT name FROM archive',
	'SELECT 1 UNION ALL SELECT 2',
	'WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT * FROM r',
	/* reaching out */
	'SELECT pg_sleep(5)',
	'SELECT "pg_sleep"(5)',
	'SELECT PG_CATALOG.PG_SLEEP(5)',
	'SELECT U&"p\0067_sleep"(5)',
	'SELECT U&"!0070g_sleep" UESCAPE ''!'' (5)',
	'SELECT pg_/**/sleep(5)',
	'SELECT "PG_SLEEP"(5)',
	'SELECT app.pg_sleep(5)',
	'SELECT count(*) FROM generate_series(1, 100000000)',
	'SELECT * FROM t WHERE a = 1 AND SLEEP(5)',
	'SELECT pg_read_file(''/etc/passwd'')',
	'SELECT * FROM pg_ls_dir(''.'')',
	'SELECT lo_import(''/etc/passwd'')',
	'SELECT public.dblink(''host=evil'', ''SELECT 1'')',
	'COPY t FROM PROGRAM ''id''',
	'COPY t TO ''/tmp/x''',
	'COPY t FROM STDIN',
	'DO $$ BEGIN END $$',
	'LOAD ''x''',
	'CREATE FUNCTION f() RETURNS int LANGUAGE c AS ''/lib/libc.so.6'', ''system''',
	'ALTER SYSTEM SET a.b = 1',
	'SELECT query_to_xml(''SELECT * FROM users'', true, true, '''')',
	'SELECT set_config(''search_path'', ''x'', false)',
	'SELECT * FROM t WHERE a = 1 OR (SELECT set_config(''x.y'', ''1'', true)) IS NOT NULL',
	'SELECT version()',
	'SELECT a FROM t WHERE version() LIKE ''P%'' AND a = 1',
	/* texts that run as queries, by themselves and within another one */
	'SELECT ffs_cached(''SELECT * FROM users'')',
	'SELECT a FROM t UNION SELECT ffs_cached(''SELECT * FROM users'')::text',
	'SELECT a, ffs_cached(''SELECT * FROM users'') FROM t',
	'SELECT * FROM ts_stat(''SELECT words FROM t'') ORDER BY nentry DESC LIMIT 10',
	'SELECT a FROM t WHERE b IN (SELECT word FROM ts_stat(''SELECT secret FROM users''))',
	'SELECT * FROM ts_stat(''SELECT secret FROM users''), t',
	'SELECT ts_rewrite(a, ''SELECT b, c FROM users'') FROM t',
	'SELECT a FROM t WHERE b @@ ts_rewrite(b, ''x'', ''y'')',
	'SELECT set_config(''x.y'', ''1'', true), a FROM t',
	/* definitions */
	'CREATE TABLE n (a int DEFAULT length(pg_read_file(''/etc/passwd'')))',
	'CREATE FOREIGN TABLE n (a int CHECK (pg_sleep(5) IS NULL)) SERVER s',
	'CREATE TABLE n (a int DEFAULT 1 REFERENCES t, b text CHECK (b = ''x'' OR true), EXCLUDE USING gist (a WITH =))',
	'ALTER TABLE t ALTER COLUMN a TYPE text USING query_to_xml(''SELECT * FROM users'', true, true, '''')',
	'ALTER TABLE t ALTER COLUMN a SET DEFAULT pg_sleep(5)',
	'ALTER TABLE t ALTER COLUMN a TYPE int USING a::int, ADD COLUMN b int DEFAULT 1, DROP COLUMN c, OWNER TO x',
	'CREATE INDEX ON t ((pg_sleep(5)))',
	'CREATE INDEX ON t (lower(a)) WHERE a <> ''''',
	'CREATE POLICY p ON t USING (pg_sleep(5) IS NULL)',
	'CREATE POLICY p ON t USING (true) WITH CHECK (current_user = ''admin'' OR owner = current_user)',
	'CREATE DOMAIN d AS int CHECK (pg_sleep(5) IS NULL)',
	'ALTER DOMAIN d SET DEFAULT pg_sleep(5)',
	'CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW WHEN (pg_sleep(5) IS NULL) EXECUTE FUNCTION f()',
	'CREATE STATISTICS s ON (pg_read_file(''x'')) FROM t',
	'CREATE SCHEMA s CREATE TABLE a (b int) CREATE VIEW v AS SELECT pg_read_file(''x'')',
	'CREATE FUNCTION f() RETURNS text LANGUAGE sql RETURN pg_read_file(''x'')',
	'CREATE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT pg_read_file(''x''); END',
	'CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM t WHERE a = 1; END',
	/* catalogs */
	'SELECT passwd FROM pg_shadow',
	'SELECT table_name FROM information_schema.tables',
	'SELECT * FROM "information_schema"."columns"',
	'SELECT * FROM pg_class',
	'SELECT a FROM t WHERE b = (SELECT relname FROM pg_class LIMIT 1)',
	'SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = ''t''',
	'SELECT * FROM app.pg_class',
	'SELECT * FROM pgbench_accounts',
	/* tricks */
	'SELECT * FROM t WHERE name = ''admin'' -- '' AND pass = ''x''',
	'SELECT * FROM t WHERE id = 1 --',
	'SELECT * FROM t WHERE id = 1/**/OR/**/a',
	'SELECT/*!50000 a*/ FROM t',
	'SELECT * FROM t WHERE name = ''a'' /* '' AND pass = '' */ OR b',
	'SELECT * FROM t /* all of them, don''t ask */ WHERE a = 1',
	'SELECT * FROM t WHERE a = 1 /*controller=''x'',action=''y''*/',
	E'-- the users'' names\nSELECT name -- of all\nFROM t -- that''s it\n',
	'SELECT * FROM t WHERE a = chr(97) || chr(100) || chr(109)',
	'SELECT replace(a, chr(13) || chr(10), '' '') FROM t',
	'SELECT * FROM t WHERE id = 2-1',
	'SELECT * FROM t WHERE a = ''ad'' || ''min''',
	'INSERT INTO t VALUES (1, ''x'' || (SELECT pass FROM users LIMIT 1) || '''')',
	'SELECT * FROM t WHERE id = CAST((SELECT pass || ''x'' FROM users LIMIT 1) AS int)',
	'SELECT * FROM t WHERE id = CAST(version() AS numeric)',
	'SELECT * FROM t WHERE id = 1/0',
	'SELECT * FROM t WHERE substr((SELECT pass FROM users LIMIT 1), 1, 1) = name',
	'SELECT * FROM t WHERE id = @@version',
	'SELECT * FROM t WHERE id = 1 OR 1=@@version',
	'SELECT * FROM t WHERE id = ’ or ‘1’=’1',
	'SELECT * FROM t WHERE id = "-"'
]) WITH ORDINALITY AS u (q, n) ORDER BY n;
SELECT ffs_validate_query('SELECT * FROM t WHERE name = ''é'' OR 1=1');
SELECT ffs_validate_query('SELECT ''');
SELECT ffs_is_safe_query(NULL), ffs_validate_query(NULL);
SELECT ffs_validate_query('SELECT no_such_column FROM pg_class WHERE oid = 1');
SELECT ffs_validate_query('SELECT no_such_column FROM pg_class WHERE oid = 1', with_analysis => true);
SELECT ffs_validate_query('SELECT relname FROM pg_class WHERE oid = $1', with_analysis => true);
SELECT ffs_validate_query('SELECT relname FROM pg_class WHERE oid = $1 OR 1=1', with_analysis => true);
SELECT ffs_is_safe_query('SELECT ' || repeat('(', 100000) || '1' || repeat(')', 100000)) AS deep,
	ffs_is_safe_query('SELECT ' || repeat('NOT ', 100000) || 'a') AS deeper,
	ffs_is_safe_query('SELECT ' || repeat('1+', 100000) || 'a') AS wide,
	ffs_is_safe_query('SELECT * FROM t WHERE a IN (1' || repeat(', 2', 30000) || ')') AS long,
	ffs_is_safe_query('SELECT ' || repeat('/*', 2000) || repeat('*/', 2000) || '1') AS nested,
	ffs_is_safe_query('SELECT ' || repeat('/*', 100000) || repeat('*/', 100000) || '1') AS runs,
	ffs_is_safe_query('SELECT 1 ' || repeat('+', 100000) || '1') AS pluses;

/* names */
SELECT n, ffs_validate_identifier(n) FROM unnest(ARRAY['users', 'Users', 'a b', 'select', 'name', 'a"b', 'x''; DROP TABLE t', '北京', '1a', ' ', repeat('x', 63), NULL]) n;
SELECT ffs_validate_identifier('');
SELECT ffs_validate_identifier(repeat('x', 64));
SELECT ffs_validate_identifier(repeat('é', 32));

/* what clients send */
SET client_min_messages = notice;
CREATE TABLE validated (a integer, b text);
INSERT INTO validated VALUES (1, 'x');
SET ffstorage.validate_queries = 'maybe';
SET ffstorage.validate_queries = warn;
SELECT * FROM validated WHERE a = 2 OR 1=1;
SET ffstorage.validate_queries = enforce;
SELECT * FROM validated WHERE a = 1;
SELECT * FROM validated WHERE a = 2 OR 1=1;
SELECT * FROM validated WHERE a = 2 OR 2=2;
SELECT * FROM validated WHERE b = '' OR 'é'='é';
UPDATE validated SET b = 'y' WHERE a = 1 OR true;
PREPARE unsafe AS SELECT * FROM validated WHERE a = $1 OR 1=1;
PREPARE safe AS SELECT * FROM validated WHERE a = $1;
EXECUTE safe(1);
EXPLAIN (COSTS off) SELECT * FROM validated WHERE a = 2 OR 1=1;
DECLARE c CURSOR FOR SELECT * FROM validated WHERE a = 2 OR 1=1;
CREATE TABLE copied AS SELECT * FROM validated WHERE a = 2 OR 1=1;
COPY (SELECT * FROM validated WHERE a = 2 OR 1=1) TO STDOUT;
SELECT 1 \; SELECT 2;
DO 'BEGIN END';
/* numbers and strings that decide are looked at each time */
SELECT 1 FROM validated WHERE a / 1 = 1;
SELECT 1 FROM validated WHERE a / 0 = 1;
SELECT count(*) FROM generate_series(1, 10);
SELECT count(*) FROM generate_series(1, 10000000);
SELECT 1 FROM validated WHERE 't' = 't';
SELECT 1 FROM validated WHERE 'a' = 'a';
CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE 'sql' AS 'SELECT 1';
CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE 'c' AS 'SELECT 1';
/* in a failed transaction too */
BEGIN;
SELECT * FROM validated WHERE a = 2 OR 1=1;
SELECT 1;
ROLLBACK -- to be sure
;
ROLLBACK;
/* functions may do what they do */
SET ffstorage.validate_queries = off;
CREATE FUNCTION inside() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM validated WHERE a = 2 OR 1=1); END $$;
SET ffstorage.validate_queries = enforce;
SELECT inside();
/* the list */
SELECT ffs_validate_learn(current_user, 'SELECT * FROM validated WHERE a = 3 OR 4=4');
SELECT ffs_validate_learn(current_user, 'select  *  from validated where a = 1 or 1=2');
SELECT query, learned_by = current_user AS mine FROM ffs_allowed_queries;
SELECT * FROM validated WHERE a = 2 OR 1=1;
SELECT * FROM validated WHERE a = 2 OR 1=1 OR a = 3;
SET ffstorage.validate_only_listed = on;
SELECT * FROM validated WHERE a = 5 OR 6=6;
SELECT * FROM validated;
BEGIN;
COMMIT;
COMMIT \; SELECT 1;
RESET ffstorage.validate_only_listed;
RESET ffstorage.validate_queries;
SELECT ffs_validate_forget(current_user);
SET ffstorage.validate_queries = enforce;
SELECT * FROM validated WHERE a = 2 OR 1=1;
RESET ffstorage.validate_queries;
SELECT ffs_validate_learn(NULL);
SELECT ffs_validate_learn('no such role', 'SELECT 1');
SELECT ffs_validate_learn(current_user, 'SELECT 1; SELECT 2');
SELECT ffs_validate_learn(current_user, 'SELEC 1');
SELECT ffs_validate_learn(current_user, 'SELECT a FROM no_such_table');
SELECT ffs_validate_forget(NULL), ffs_validate_forget('no such role');
CREATE ROLE regress_validate;
SET ROLE regress_validate;
SET ffstorage.validate_queries = off;
SELECT ffs_validate_learn('regress_validate', 'SELECT 1');
SELECT ffs_validate_forget('regress_validate');
SELECT count(*) FROM ffs_allowed_queries;
SELECT count(*) FROM ffs_unsafe_queries;
SELECT ffs_is_safe_query('SELECT 1 OR true'), ffs_validate_identifier('a b'), ffs_validate_template('SELECT %s', '1');
RESET ROLE;
DROP ROLE regress_validate;
DROP TABLE validated;
DROP FUNCTION inside();
DROP FUNCTION verdict(text);
DROP EXTENSION ffstorage;
