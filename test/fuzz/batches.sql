-- What test/fuzz/batches.pl runs on: types, and the functions that compare a
-- batch with plain statements on a twin, a row at a time.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS ffstorage;
DROP SCHEMA IF EXISTS batches CASCADE;
CREATE SCHEMA batches;
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'batches_writer') THEN CREATE ROLE batches_writer; END IF;
END $$;
SET search_path = batches, public;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'it''s "odd"');
CREATE TYPE pair AS (a integer, b text);
CREATE TYPE nested AS (p pair, l integer[], "odd ""name" mood);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN small_positive AS positive CHECK (VALUE < 1000);
CREATE DOMAIN word AS varchar(8) NOT NULL CHECK (VALUE <> 'bad');
CREATE DOMAIN numbers AS integer[] CHECK (array_length(VALUE, 1) < 4);
CREATE DOMAIN some_pair AS pair CHECK ((VALUE).a > 0);
CREATE DOMAIN some_json AS jsonb CHECK (jsonb_typeof(VALUE) <> 'number');
CREATE DOMAIN some_uuid AS uuid CHECK (VALUE <> '00000000-0000-0000-0000-000000000000');
CREATE DOMAIN moment AS timestamptz DEFAULT '2000-01-01' CHECK (isfinite(VALUE));
CREATE DOMAIN amount AS numeric(6, 2) CHECK (VALUE >= 0);
CREATE TYPE span AS RANGE (subtype = float8);
DO $$ BEGIN
    CREATE COLLATION whatever (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN feature_not_supported OR undefined_object OR syntax_error THEN
    CREATE COLLATION whatever FROM "C";
END $$;
CREATE SEQUENCE far START 1000000000;
CREATE TABLE parent (id integer PRIMARY KEY, code text UNIQUE);
INSERT INTO parent SELECT i, 'p' || i FROM generate_series(0, 5) i;

/* A user's triggers: some rows are kept out, changed, or refused, before or after. */
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	v text := to_jsonb(NEW)->>TG_ARGV[0];
BEGIN
	IF v = '3' THEN RETURN NULL; END IF;
	IF v = '4' THEN RAISE EXCEPTION 'not four'; END IF;
	IF v = '5' THEN NEW := jsonb_populate_record(NEW, jsonb_build_object(TG_ARGV[0], 6)); END IF;
	RETURN NEW;
END $$;
CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF to_jsonb(NEW)->>TG_ARGV[0] = '7' THEN RAISE EXCEPTION 'not seven' USING ERRCODE = '2F004'; END IF;
	RETURN NULL;
END $$;

CREATE TYPE result AS (n integer, action text, states text[], key jsonb);

/* A row of the input: what its statement is made of, or why it can have none; its keys, as texts. */
CREATE TYPE item AS (n integer, e jsonb, states text[], given text[], settable text[], source text, k1 text[], k2 text[]);

/* What a domain is over; with a NULL for typmod, without any. */
CREATE FUNCTION base_type(type oid, typmod integer) RETURNS text STABLE LANGUAGE sql AS $$
	WITH RECURSIVE base AS (
		SELECT type AS t, typmod AS m UNION ALL SELECT typbasetype, CASE WHEN typmod IS NOT NULL THEN typtypmod END FROM base JOIN pg_type p ON p.oid = base.t WHERE p.typtype = 'd')
	SELECT format_type(t, coalesce(m, -1)) FROM base JOIN pg_type p ON p.oid = base.t WHERE p.typtype <> 'd'
$$;

/* Is it a type whose values are JSON arrays or objects: of arrays, rows and jsonb? */
CREATE FUNCTION holds_others(type oid) RETURNS boolean STABLE LANGUAGE sql AS $$
	WITH RECURSIVE base AS (
		SELECT type AS t UNION ALL SELECT typbasetype FROM base JOIN pg_type p ON p.oid = base.t WHERE p.typtype = 'd')
	SELECT typtype = 'c' OR typsubscript = 'array_subscript_handler'::regproc OR p.oid = 'jsonb'::regtype FROM base JOIN pg_type p ON p.oid = base.t WHERE p.typtype <> 'd'
$$;

/* Columns k[1], k[2]... of `who` as values of a key's types. */
CREATE FUNCTION key_values(twin regclass, columns text[], who text, typmods boolean) RETURNS text[] STABLE LANGUAGE sql AS $$
	SELECT array_agg(format('CAST(%s[%s] AS %s)%s', who, o, batches.base_type(t.atttypid, CASE WHEN typmods THEN t.atttypmod END), CASE WHEN t.attcollation <> 0 THEN ' COLLATE ' || t.attcollation::regcollation ELSE '' END) ORDER BY o)
	  FROM unnest(columns) WITH ORDINALITY u(c, o) JOIN pg_attribute t ON t.attrelid = twin AND t.attname = c
$$;

/*
 * What becomes of it when each row is written by a statement of its own, in
 * the order of the keys, as documented; a key's second row is refused.
 */
CREATE FUNCTION oracle(twin regclass, input text[], how jsonb) RETURNS SETOF batches.result LANGUAGE plpgsql AS $oracle$
DECLARE
	m ffstorage.managed;
	records boolean := how->>'kind' = 'records';
	/* the function that does the same to one row */
	single text := CASE WHEN how->>'kind' IN ('update', 'delete', 'restore') THEN 'ffs_' || (how->>'kind') END;
	by_key boolean := how->>'kind' IN ('delete', 'restore');
	stamps text[] := '{}';
	keys text[];
	conflict text[] := ARRAY(SELECT jsonb_array_elements_text(nullif(how->'conflict_columns', 'null')));
	items batches.item[] := '{}';
	item batches.item;
	a record;
	name text;
	definition text;
	statement text;
	counted bigint;
	before bigint;
	after bigint;
	earlier integer[];
	turns integer[];
	action text;
	returned jsonb;
	key_text text[];
	one_set text[];
BEGIN
	SELECT * INTO m FROM ffstorage.managed g WHERE g.relation = twin;
	IF m.stamps THEN stamps := '{created_at,created_by,updated_at,updated_by}'; END IF;
	IF m.strategy = 'scd2' THEN stamps := stamps || '{version,valid_from,transaction_id}'::text[]; END IF;
	keys := ARRAY(SELECT t.attname FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, ord), pg_attribute t
		WHERE i.indrelid = twin AND i.indisprimary AND t.attrelid = twin AND t.attnum = u.attnum ORDER BY ord);
	IF conflict = '{}' OR conflict <@ keys AND keys <@ conflict THEN conflict := keys; END IF;

	/* read the rows */
	FOR i IN 1 .. cardinality(input) LOOP
		item := (i, input[i]::jsonb, '{}', '{}', '{}', NULL, NULL, NULL);
		IF by_key AND cardinality(keys) = 1 AND jsonb_typeof(item.e) NOT IN ('object', 'null') THEN
			item.e := jsonb_build_object(keys[1], item.e);
		END IF;
		IF item.e IS NULL OR NOT records AND jsonb_typeof(item.e) <> 'object' THEN
			item.states := CASE WHEN records THEN '{22004}' ELSE '{22023}' END;
			items := items || item;
			CONTINUE;
		END IF;
		definition := '';
		IF single IS NOT NULL THEN
			item.given := ARRAY(SELECT jsonb_object_keys(item.e) INTERSECT SELECT unnest(keys));
		ELSIF records THEN
			item.source := format('jsonb_populate_record(NULL::%s, $1) r', twin);
			FOR a IN SELECT * FROM pg_attribute t WHERE attrelid = twin AND attnum > 0 AND NOT attisdropped ORDER BY attnum LOOP
				CONTINUE WHEN a.attname = ANY (stamps);
				EXECUTE format('SELECT count(*) FROM %s WHERE (r.%I::text) IS NULL', item.source, a.attname) INTO counted USING item.e;
				CONTINUE WHEN counted = 1 AND (a.attidentity <> '' OR a.attname = m.tenant_column OR a.attgenerated <> '');
				/* a default that stands for NULL is a value like others */
				item.settable := item.settable || a.attname::text;
				CONTINUE WHEN counted = 1 AND a.attnotnull AND (a.atthasdef OR EXISTS (SELECT FROM pg_type p WHERE p.oid = a.atttypid AND p.typdefault IS NOT NULL));
				IF a.attidentity = 'a' OR a.attgenerated <> '' THEN item.states := item.states || '428C9'::text; END IF;
				item.given := item.given || a.attname::text;
			END LOOP;
		ELSE
			FOR name IN SELECT jsonb_object_keys(item.e) LOOP
				SELECT t.*, format_type(atttypid, atttypmod) AS type INTO a FROM pg_attribute t WHERE attrelid = twin AND attnum > 0 AND NOT attisdropped AND attname = name;
				IF a IS NULL THEN item.states := item.states || '42703'::text; CONTINUE; END IF;
				CONTINUE WHEN name = ANY (stamps);
				IF a.attgenerated <> '' OR a.attidentity = 'a' THEN item.states := item.states || '428C9'::text; CONTINUE; END IF;
				item.given := item.given || name;
				definition := definition || format(', %I %s', name, a.type);
			END LOOP;
			item.settable := item.given;
			item.source := CASE WHEN definition = '' THEN 'generate_series(1, 1) r' ELSE format('jsonb_to_record($1) AS r(%s)', substr(definition, 3)) END;
			BEGIN
				EXECUTE 'SELECT FROM ' || item.source USING item.e;
			EXCEPTION WHEN OTHERS THEN
				/* which columns were it? */
				definition := SQLSTATE;
				counted := cardinality(item.states);
				FOREACH name IN ARRAY item.given LOOP
					BEGIN
						EXECUTE format('SELECT FROM jsonb_to_record($1) AS r(%I %s)', name, (SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = twin AND attname = name)) USING item.e;
					EXCEPTION WHEN OTHERS THEN
						item.states := item.states || SQLSTATE::text;
					END;
				END LOOP;
				IF cardinality(item.states) = counted THEN item.states := item.states || definition; END IF;
			END;
		END IF;
		/* its keys, even if the rest cannot be read */
		FOR j IN 1 .. 2 LOOP
			one_set := CASE j WHEN 1 THEN conflict ELSE keys END;
			CONTINUE WHEN one_set = '{}' OR NOT one_set <@ item.given;
			/* of a key object all is read, or nothing; its values are arrays and objects for types made of them only, and know of no typmods */
			CONTINUE WHEN by_key AND EXISTS (SELECT FROM unnest(one_set) c JOIN pg_attribute ON attrelid = twin AND attname = c
				WHERE jsonb_typeof(item.e->c) IN ('object', 'array') AND NOT batches.holds_others(atttypid));
			CONTINUE WHEN by_key AND EXISTS (SELECT FROM jsonb_each(item.e) WHERE key <> ALL (keys) AND NOT (key = 'expected_version' AND value::text ~ '^(null|\d+)$' OR key = 'cascade' AND single = 'ffs_restore'));
			BEGIN
				EXECUTE format('SELECT ARRAY[%s] FROM %s', (SELECT string_agg(format('r.%I::text', c), ', ' ORDER BY o) FROM unnest(one_set) WITH ORDINALITY u(c, o)),
					CASE WHEN records THEN item.source ELSE 'jsonb_to_record($1) AS r(' || (SELECT string_agg(format('%I %s', attname, CASE WHEN NOT by_key THEN format_type(atttypid, atttypmod) ELSE batches.base_type(atttypid, NULL) END), ', ')
						FROM pg_attribute WHERE attrelid = twin AND attname = ANY (one_set)) || ')' END) INTO key_text USING item.e;
				IF j = 1 THEN item.k1 := key_text; ELSE item.k2 := key_text; END IF;
			EXCEPTION WHEN OTHERS THEN NULL;
			END;
		END LOOP;
		items := items || item;
	END LOOP;

	/* keys that came before, and the order */
	earlier := array_fill(NULL::integer, ARRAY[cardinality(input)]);
	turns := ARRAY(SELECT generate_series(1, cardinality(input)));
	FOR j IN 1 .. 2 LOOP
		one_set := CASE j WHEN 1 THEN conflict ELSE keys END;
		CONTINUE WHEN one_set = '{}';
		FOR a IN EXECUTE format('SELECT a.n FROM unnest($1) a, unnest($1) b WHERE a.n > b.n AND %s GROUP BY a.n', (SELECT string_agg(x || ' = ' || y, ' AND ')
				FROM unnest(batches.key_values(twin, one_set, 'a.k' || j, NOT by_key), batches.key_values(twin, one_set, 'b.k' || j, NOT by_key)) u(x, y))) USING items LOOP
			earlier[a.n] := 1;
		END LOOP;
	END LOOP;
	IF conflict <> '{}' THEN
		EXECUTE format('SELECT array_agg(a.n ORDER BY %s, a.k1 IS NULL, a.n) FROM unnest($1) a', (SELECT string_agg(x, ', ') FROM unnest(batches.key_values(twin, conflict, 'a.k1', NOT by_key)) x)) INTO turns USING items;
	END IF;

	/* the statements */
	FOREACH item.n IN ARRAY coalesce(turns, '{}') LOOP
		item := items[item.n];
		returned := NULL;
		IF item.states <> '{}' THEN
			RETURN NEXT (item.n, 'rejected', item.states, NULL)::batches.result;
			CONTINUE;
		END IF;
		IF single IS NOT NULL THEN
			action := 'rejected';
			BEGIN
				IF single = 'ffs_update' THEN
					PERFORM ffs_update(twin, item.e - 'expected_version', (item.e->>'expected_version')::integer);
					action := 'updated';
				ELSE
					EXECUTE format('SELECT %s($1, $2)::integer', single) INTO after USING twin, item.e;
					action := CASE WHEN after = 0 THEN 'skipped' ELSE rtrim(single, 'e') || 'ed' END;
				END IF;
				IF earlier[item.n] IS NOT NULL THEN RAISE SQLSTATE 'BT001'; END IF;
			EXCEPTION WHEN OTHERS OR assert_failure THEN
				item.states := ARRAY[SQLSTATE];
				IF SQLSTATE = 'BT001' THEN action := 'rejected'; END IF;
			END;
			IF earlier[item.n] IS NOT NULL THEN item.states := item.states || '21000'::text; END IF;
			RETURN NEXT (item.n, replace(action, 'ffs_', ''), item.states, NULL)::batches.result;
			CONTINUE;
		END IF;
		IF earlier[item.n] IS NOT NULL THEN
			RETURN NEXT (item.n, 'rejected', ARRAY['21000'], NULL)::batches.result;
			CONTINUE;
		END IF;
		IF item.given = '{}' THEN
			statement := format('INSERT INTO %s DEFAULT VALUES', twin);
		ELSE
			statement := format('INSERT INTO %s (%s) SELECT %s FROM %s', twin, (SELECT string_agg(quote_ident(c), ', ') FROM unnest(item.given) c),
				(SELECT string_agg(format('r.%I', c), ', ') FROM unnest(item.given) c), item.source);
		END IF;
		item.settable := ARRAY(SELECT c FROM unnest(item.settable) c WHERE c <> ALL (keys) AND c <> ALL (conflict));
		IF how->>'on_conflict' <> 'error' THEN
			statement := statement || ' ON CONFLICT (' || (SELECT string_agg(quote_ident(c), ', ') FROM unnest(conflict) c) || ') DO ' ||
				CASE WHEN how->>'on_conflict' = 'skip' OR item.settable = '{}' THEN 'NOTHING'
				ELSE 'UPDATE SET ' || (SELECT string_agg(format('%I = excluded.%1$I', c), ', ') FROM unnest(item.settable) c) END;
		END IF;
		IF keys <> '{}' THEN
			statement := statement || ' RETURNING jsonb_build_object(' || (SELECT string_agg(format('%L, %1$I', c), ', ') FROM unnest(keys) c) || ')';
		END IF;
		BEGIN
			EXECUTE format('SELECT count(*) FROM %s', twin) INTO before;
			IF keys <> '{}' THEN
				EXECUTE statement INTO returned USING item.e;
			ELSE
				EXECUTE statement USING item.e;
			END IF;
			GET DIAGNOSTICS counted = ROW_COUNT;
			EXECUTE format('SELECT count(*) FROM %s', twin) INTO after;
			/* a row that gives its key alone has nothing to update: beside others it is updated to what it is */
			action := CASE WHEN counted = 0 AND how->>'on_conflict' = 'update' AND item.settable = '{}' THEN 'nothing' WHEN counted = 0 THEN 'skipped'
				WHEN after > before THEN 'inserted' ELSE 'updated' END;
		EXCEPTION WHEN OTHERS OR assert_failure THEN
			action := 'rejected';
			/* of defaults that fail, and domains that take no NULL, either may come first */
			item.states := CASE WHEN SQLSTATE IN ('22012', '23502') THEN '{22012,23502}' ELSE ARRAY[SQLSTATE] END;
		END;
		RETURN NEXT (item.n, action, item.states, returned)::batches.result;
	END LOOP;
END $oracle$;

/* Of two things that are wrong with a row, its tenant and its partition, or what is read, either may be said. */
CREATE FUNCTION either(how jsonb, got text, wanted text[]) RETURNS boolean LANGUAGE sql AS $$
	SELECT got = 'ZF002' AND wanted = '{23514}' OR how->>'kind' IN ('update', 'delete', 'restore') AND got ~ '^(22|42703|428C9|23502|23514|ZF021|3F000|42P01)' AND array_to_string(wanted, ' ') ~ '(^| )(22|42703|428C9|23502|23514|ZF021|3F000|42P01)'
$$;

/*
 * Runs a batch on target and its rows one by one on twin; gives what differs.
 * exprs are of the columns, as texts that the same input makes the same.
 */
CREATE FUNCTION check_call(target regclass, twin regclass, input text[], how jsonb, exprs text[]) RETURNS SETOF text LANGUAGE plpgsql AS $check$
DECLARE
	want batches.result[];
	got batches.result[];
	w batches.result;
	g batches.result;
	refused integer;
	state text := '';
	message text;
	detail text;
	hint text;
	abort boolean := how->>'on_error' = 'abort';
	conflict name[] := CASE WHEN jsonb_typeof(how->'conflict_columns') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(how->'conflict_columns')) END;
	line text;
	side text[];
	n integer := cardinality(input);
	counted integer;
BEGIN
	IF how->>'kind' = 'records' THEN
		/* rows that are no row of the table are nobody's fault */
		BEGIN
			EXECUTE format('SELECT FROM unnest($1) u(e), jsonb_populate_record(NULL::%s, e::jsonb) r WHERE r IS NULL', target) USING input;
		EXCEPTION WHEN OTHERS THEN
			RETURN;
		END;
	END IF;
	BEGIN
		SELECT array_agg(o ORDER BY o.n), min(o.n) FILTER (WHERE o.action = 'rejected') INTO want, refused FROM batches.oracle(twin, input, how) o;
		IF abort AND refused IS NOT NULL THEN RAISE SQLSTATE 'BT000'; END IF;
	EXCEPTION WHEN SQLSTATE 'BT000' THEN NULL;
	END;

	BEGIN
		IF how->>'kind' = 'create' THEN
			SELECT ARRAY[(1, CASE WHEN r IS NULL THEN 'skipped' ELSE 'inserted' END, '{}', (SELECT jsonb_object_agg(k, r->k) FROM jsonb_object_keys(want[1].key) k))::batches.result]
				INTO got FROM ffs_create(target, input[1]::jsonb) r;
		ELSE
			EXECUTE format('SELECT array_agg((r.row_number, r.action, array_remove(ARRAY[r.sqlstate], NULL), r.key)::batches.result ORDER BY r.ordinality) FROM %s WITH ORDINALITY r',
				CASE WHEN how->>'kind' = 'records'
				THEN format('ffs_create_records(coalesce((SELECT array_agg(CASE WHEN e IS NOT NULL THEN jsonb_populate_record(NULL::%s, e::jsonb) END ORDER BY o) FROM unnest($7) WITH ORDINALITY u(e, o)), ''{}''), $3, $4, $5, $6)', target)
				WHEN how->>'kind' = 'many' THEN 'ffs_create_many($1, $2, $3, $4, $5, $6)'
				ELSE format('ffs_%s_many($1, $2, $4, $5)', how->>'kind') END)
				INTO got USING target, (SELECT coalesce(jsonb_agg(i::jsonb ORDER BY o), '[]') FROM unnest(input) WITH ORDINALITY u(i, o)),
				how->>'on_conflict', how->>'on_error', (how->>'batch_size')::integer, conflict, input;
		END IF;
	EXCEPTION WHEN OTHERS OR assert_failure THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	END;

	IF state LIKE 'XX%' OR state = 'P0004' THEN
		RETURN NEXT format('internal error %s: %s', state, message);
	ELSIF abort AND refused IS NOT NULL THEN
		w := want[refused];
		/* any of the bad rows may be the one that is named */
		IF how->>'kind' <> 'create' AND state <> '' THEN
			refused := substring(detail FROM '^Row (\d+) of the input');
			w := want[refused];
		END IF;
		IF state = '' THEN
			RETURN NEXT format('row %s should have been refused with %s: %s', refused, w.states, input[refused]);
		ELSIF w.action IS DISTINCT FROM 'rejected' OR state <> ALL (w.states) AND NOT batches.either(how, state, w.states) THEN
			RETURN NEXT format('should have failed with %s in row %s, was %s: %s: %s: %s', w.states, refused, state, message, detail, input[refused]);
		END IF;
		IF state <> '' AND how->>'kind' <> 'create' AND (hint = '' OR detail = '') THEN
			RETURN NEXT format('no detail or hint: %s: %s', state, message);
		END IF;
	ELSIF state <> '' THEN
		RETURN NEXT format('should not have failed: %s: %s: %s', state, message, detail);
	ELSE
		IF coalesce(cardinality(got), 0) <> n THEN
			RETURN NEXT format('%s results for %s rows', cardinality(got), n);
		END IF;
		FOR i IN 1 .. n LOOP
			w := want[i];
			g := got[i];
			IF g.n <> i THEN
				RETURN NEXT format('result %s is of row %s', i, g.n);
			ELSIF g.action IS DISTINCT FROM w.action AND NOT (w.action = 'nothing' AND g.action IN ('updated', 'skipped')) THEN
				RETURN NEXT format('row %s should have been %s %s, was %s %s: %s', i, w.action, w.states, g.action, g.states, input[i]);
			ELSIF g.action = 'rejected' AND g.states[1] <> ALL (w.states) AND NOT batches.either(how, g.states[1], w.states) OR g.states[1] LIKE 'XX%' THEN
				RETURN NEXT format('row %s should have been rejected with %s, was with %s: %s', i, w.states, g.states, input[i]);
			ELSIF w.key IS NOT NULL AND w.key IS DISTINCT FROM g.key AND NOT w.key::text ~ '1\d{9}|-4...-|random:|20[23]\d-' THEN
				/* keys look the same under all settings: read back, it must be the same */
				EXECUTE format('SELECT 1 FROM jsonb_to_record($1) AS "the wanted" (%1$s), jsonb_to_record($2) AS "the given" (%1$s) WHERE "the wanted"::text = "the given"::text',
					(SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ') FROM pg_attribute WHERE attrelid = twin AND w.key ? attname)) INTO counted USING w.key, g.key;
				CONTINUE WHEN counted = 1;
				RETURN NEXT format('the key of row %s should have been %s, was %s', i, w.key, g.key);
			END IF;
		END LOOP;
	END IF;

	FOR line IN EXECUTE format($$SELECT left(CASE WHEN side = 1 THEN 'a row too many: ' ELSE 'a row is missing: ' END || x::text, 500) FROM (
			(SELECT 1 AS side, x FROM (SELECT ARRAY[%1$s] AS x FROM %2$s EXCEPT ALL SELECT ARRAY[%1$s] FROM %3$s) y) UNION ALL
			(SELECT 2, x FROM (SELECT ARRAY[%1$s] AS x FROM %3$s EXCEPT ALL SELECT ARRAY[%1$s] FROM %2$s) y)) z LIMIT 5$$,
			array_to_string(exprs, ', '), target, twin) LOOP
		RETURN NEXT line;
	END LOOP;
	SELECT ARRAY[a.history::text, b.history::text, a.audit::text, b.audit::text, a.deleted::text, b.deleted::text] INTO side FROM ffstorage.managed a, ffstorage.managed b
		WHERE a.relation = target AND b.relation = twin;
	IF side[1] IS NOT NULL THEN
		FOR line IN EXECUTE format($$SELECT left('history differs: ' || x::text, 500) FROM (SELECT ARRAY[%1$s, version::text, end_operation] AS x FROM %2$s EXCEPT ALL SELECT ARRAY[%1$s, version::text, end_operation] FROM %3$s) y LIMIT 5$$,
				array_to_string(exprs, ', '), side[1], side[2]) LOOP
			RETURN NEXT line;
		END LOOP;
		EXECUTE format('SELECT (SELECT count(*) FROM %s) - (SELECT count(*) FROM %s)', side[1], side[2]) INTO line;
		IF line <> '0' THEN RETURN NEXT format('%s more versions than plain statements make', line); END IF;
	END IF;
	IF side[5] IS NOT NULL THEN
		FOR line IN EXECUTE format($$SELECT left('deleted rows differ: ' || x::text, 500) FROM ((SELECT ARRAY[%1$s] AS x FROM %2$s EXCEPT ALL SELECT ARRAY[%1$s] FROM %3$s) UNION ALL (SELECT ARRAY[%1$s] FROM %3$s EXCEPT ALL SELECT ARRAY[%1$s] FROM %2$s)) y LIMIT 5$$,
				array_to_string(exprs, ', '), side[5], side[6]) LOOP
			RETURN NEXT line;
		END LOOP;
	END IF;
	IF side[3] IS NOT NULL THEN
		FOR line IN EXECUTE format($$SELECT format('audit entries differ: %%s %%s %%s', operation, field_name, n) FROM (
				SELECT operation, field_name, sum(n) AS n FROM (SELECT operation, field_name, 1 AS n FROM %s UNION ALL SELECT operation, field_name, -1 FROM %s) x GROUP BY 1, 2) y WHERE n <> 0 LIMIT 5$$,
				side[3], side[4]) LOOP
			RETURN NEXT line;
		END LOOP;
	END IF;
END $check$;
GRANT USAGE ON SCHEMA batches TO batches_writer;
GRANT SELECT ON ffstorage.managed TO batches_writer;
