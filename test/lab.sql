/*
 * The laboratory of the strategy tests: the same statements are run against a
 * managed table and an unmanaged twin, and everything that a client could see
 * (row counts, RETURNING, errors, the rows afterwards) must be the same; then
 * the laws are asked.  Nothing here looks at how ffstorage works.
 *
 * A combination is a shape of table under a strategy.  Its schemas are
 * u_<name> (unmanaged) and m_<name> (managed); a statement finds its tables by
 * search_path alone.  In statements
 *     @T@        the table          @K@   its key columns     @P@  the partition that holds new rows, or the table
 *     @1@..@9@   the values of the cell's key 1..9            @i1@ a plain number that goes with it
 *     @J@        join condition of t and v by key             @V@  the key columns of v
 *     @1v@..     the same values for a row of COPY
 * A step of a cell is a statement, or COMMIT, or ROLLBACK; it may begin with
 *     ~   run in a subtransaction that is rolled back
 *     +   run in a subtransaction that is released
 *     ?   an error is expected, and its SQLSTATE compared
 * and several statements joined by ;; share their subtransaction.
 */
CREATE SCHEMA lab;

CREATE TABLE lab.combos (
	combo text PRIMARY KEY, shape text NOT NULL, strategy text NOT NULL, soft boolean NOT NULL,
	tab text NOT NULL, part text NOT NULL, keys text NOT NULL, jn text NOT NULL, vkeys text NOT NULL, pk_move boolean NOT NULL);

CREATE TABLE lab.cells (
	cell serial PRIMARY KEY, name text NOT NULL UNIQUE, steps text[] NOT NULL,
	versions integer, entries integer, kept integer,      -- rows that the cell adds to history, audit, deleted; NULL and -2: not asked; -1: as many as there were rows
	rekey_versions integer, rekey_entries integer, rekey_kept integer, -- the same where grp is in the key
	only_shape text);

CREATE TABLE lab.results (cell integer, combo text, differs text);
CREATE TABLE lab.broken (combo text, line text, PRIMARY KEY (combo, line));
CREATE TABLE lab.moments (combo text, cell integer, at timestamptz, state text);

CREATE FUNCTION lab.key(shape text, n integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE shape
		WHEN 'uuid' THEN format('''00000000-0000-4000-8000-%s''::uuid', lpad(n::text, 12, '0'))
		WHEN 'pair' THEN format('%s, ''doc ''''%s''', n % 7, n)
		WHEN 'part' THEN format('%s, ''a''', n)
		WHEN 'wide' THEN format('%s::bigint', n)
	END
$$;
CREATE FUNCTION lab.copy_key(shape text, n integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE shape
		WHEN 'uuid' THEN format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))
		WHEN 'pair' THEN format('%s,doc ''''%s', n % 7, n)
		WHEN 'part' THEN format('%s,a', n)
		WHEN 'wide' THEN n::text
	END
$$;

CREATE FUNCTION lab.expand(statement text, combo text, cell integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c lab.combos;
	s text := statement;
BEGIN
	SELECT * INTO c FROM lab.combos x WHERE x.combo = expand.combo;
	s := replace(replace(replace(replace(replace(s, '@T@', c.tab), '@P@', c.part), '@K@', c.keys), '@J@', c.jn), '@V@', c.vkeys);
	FOR i IN 0..9 LOOP
		s := replace(s, format('@%s@', i), lab.key(c.shape, cell * 100 + i));
		s := replace(s, format('@%sv@', i), lab.copy_key(c.shape, cell * 100 + i));
		s := replace(s, format('@i%s@', i), (cell * 100 + i)::text);
	END LOOP;
	RETURN s;
END $$;

/* Runs one statement; what it gave back, as text. */
CREATE FUNCTION lab.run(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n bigint;
	rows text[] := '{}';
BEGIN
	IF statement ~* 'returning|^\s*select' THEN
		FOR r IN EXECUTE statement LOOP
			rows := rows || row_to_json(r)::text;
		END LOOP;
		SELECT array_agg(x ORDER BY x) INTO rows FROM unnest(rows) x;
		RETURN coalesce(array_length(rows, 1), 0) || ' ' || coalesce(rows::text, '');
	END IF;
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END $$;

CREATE FUNCTION lab.step(step text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	kind text := left(step, 1);
	statement text;
	result text := '';
BEGIN
	IF kind NOT IN ('~', '+', '?') THEN
		FOREACH statement IN ARRAY regexp_split_to_array(step, ';;') LOOP
			result := result || lab.run(statement) || ';';
		END LOOP;
		RETURN result;
	END IF;
	BEGIN
		FOREACH statement IN ARRAY regexp_split_to_array(substr(step, 2), ';;') LOOP
			result := result || lab.run(statement) || ';';
		END LOOP;
		IF kind = '~' THEN
			RAISE EXCEPTION USING ERRCODE = 'XX999', MESSAGE = result;
		END IF;
	EXCEPTION
		WHEN SQLSTATE 'XX999' THEN
			RETURN SQLERRM || ' undone';
		WHEN OTHERS THEN
			IF kind <> '?' THEN
				RAISE;
			END IF;
			RETURN SQLSTATE;
	END;
	IF kind = '?' THEN
		RETURN result || ' no error';
	END IF;
	RETURN result;
END $$;

/* The user's columns of a table, in the order of their names, as text. */
CREATE FUNCTION lab.contents(relation text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	rows text[];
BEGIN
	EXECUTE format($q$SELECT array_agg(r ORDER BY r) FROM (SELECT (to_jsonb(t) - '{created_at,created_by,updated_at,updated_by,version,valid_from,transaction_id}'::text[])::text FROM %s t) AS x(r)$q$, relation)
	   INTO rows;
	RETURN coalesce(rows, '{}');
END $$;

CREATE FUNCTION lab.difference(what text, u text[], m text[]) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s only unmanaged: %s', what, x) FROM (SELECT unnest(u) EXCEPT ALL SELECT unnest(m)) a(x)
	UNION ALL SELECT format('%s only managed: %s', what, x) FROM (SELECT unnest(m) EXCEPT ALL SELECT unnest(u)) a(x)
$$;

/* One cell in one combination. */
CREATE PROCEDURE lab.try(cell integer, combo text) LANGUAGE plpgsql AS $$
DECLARE
	c lab.combos;
	l lab.cells;
	m record;
	schema text;
	statement text;
	answers text[];
	u_answers text[];
	n_rows bigint;
	n_history bigint := 0;
	n_audit bigint := 0;
	n_deleted bigint := 0;
	n bigint;
	wanted integer;
	target text;
	beside text;
	differs text[] := '{}';
BEGIN
	SELECT * INTO c FROM lab.combos x WHERE x.combo = try.combo;
	SELECT * INTO l FROM lab.cells x WHERE x.cell = try.cell;
	PERFORM set_config('client_min_messages', 'warning', false);
	target := format('m_%s.%s', c.combo, c.tab);
	SELECT * INTO m FROM ffstorage.managed g WHERE g.relation = target::regclass;

	FOREACH schema IN ARRAY ARRAY['u_' || c.combo, 'm_' || c.combo] LOOP
		PERFORM set_config('search_path', schema || ', pg_catalog', false);
		IF schema ~ '^m_' THEN
			u_answers := answers;
		END IF;
		answers := '{}';

		/* keys 1 to 4 stand, 1 with a child that goes with it, 2 with one that is set free, 3 refers to a parent */
		FOREACH statement IN ARRAY ARRAY[
			'INSERT INTO p VALUES (@i1@, ''parent one'')',
			'INSERT INTO @T@ (@K@, n, txt, ref) VALUES (@1@, 10, ''one'', NULL), (@2@, 20, ''two'', NULL), (@3@, 30, ''three'', @i1@), (@4@, 40, ''four'', NULL)',
			'INSERT INTO c SELECT @i1@, @1@', 'INSERT INTO s SELECT @i2@, @2@'] LOOP
			PERFORM lab.run(lab.expand(statement, combo, cell));
		END LOOP;
		COMMIT;

		IF schema ~ '^m_' THEN
			EXECUTE 'SELECT count(*) FROM ' || target INTO n_rows;
			IF m.history IS NOT NULL THEN EXECUTE 'SELECT count(*) FROM ' || m.history INTO n_history; END IF;
			IF m.audit IS NOT NULL THEN EXECUTE 'SELECT count(*) FROM ' || m.audit INTO n_audit; END IF;
			IF m.deleted IS NOT NULL THEN EXECUTE 'SELECT count(*) FROM ' || m.deleted INTO n_deleted; END IF;
		END IF;

		FOREACH statement IN ARRAY l.steps LOOP
			IF statement = 'COMMIT' THEN
				COMMIT;
				IF schema ~ '^m_' AND m.history IS NOT NULL THEN
					INSERT INTO lab.moments VALUES (c.combo, l.cell, clock_timestamp(), public.laws_state(target::regclass));
					COMMIT;
				END IF;
			ELSIF statement = 'ROLLBACK' THEN
				ROLLBACK;
			ELSE
				answers := answers || (lab.expand(statement, combo, cell) || ' => ' || lab.step(lab.expand(statement, combo, cell)));
			END IF;
		END LOOP;
		COMMIT;
		IF schema ~ '^m_' AND m.history IS NOT NULL THEN
			INSERT INTO lab.moments VALUES (c.combo, l.cell, clock_timestamp(), public.laws_state(target::regclass));
			COMMIT;
		END IF;
	END LOOP;

	/* each difference and violation is told once, where it came about */
	WITH found AS (
		SELECT lab.difference('answer', u_answers, answers)
		UNION ALL
		SELECT d FROM unnest(ARRAY[c.tab, 'p', 'c', 's']) r,
		       LATERAL lab.difference('row of ' || r, lab.contents(format('u_%s.%s', c.combo, r)), lab.contents(format('m_%s.%s', c.combo, r))) d
		UNION ALL
		SELECT public.laws(target::regclass)),
	told AS (INSERT INTO lab.broken SELECT c.combo, line FROM found f(line) ON CONFLICT DO NOTHING RETURNING line)
	SELECT coalesce(array_agg(line), '{}') INTO differs FROM told;

	FOR statement, wanted, n IN
		SELECT x.what, CASE WHEN x.wanted = -1 THEN n_rows ELSE x.wanted END, x.n
		  FROM (VALUES ('history', CASE WHEN c.pk_move THEN coalesce(l.rekey_versions, l.versions) ELSE l.versions END, n_history),
		               ('audit', CASE WHEN c.pk_move THEN coalesce(l.rekey_entries, l.entries) ELSE l.entries END, n_audit),
		               ('deleted', CASE WHEN c.pk_move THEN coalesce(l.rekey_kept, l.kept) ELSE l.kept END, n_deleted)) AS x(what, wanted, n)
	LOOP
		beside := CASE statement WHEN 'history' THEN m.history WHEN 'audit' THEN m.audit ELSE m.deleted END::text;
		IF beside IS NOT NULL AND wanted <> -2 THEN
			EXECUTE 'SELECT count(*) FROM ' || beside INTO n_rows;
			IF n_rows - n <> wanted THEN
				differs := differs || format('%s rows added to %s, wanted %s', n_rows - n, statement, wanted);
			END IF;
		END IF;
	END LOOP;

	PERFORM set_config('search_path', 'public', false);
	INSERT INTO lab.results SELECT l.cell, c.combo, string_agg(d, E'\n    ') FROM unnest(differs) d WHERE d IS NOT NULL;
END $$;

/* The tables of a combination, in the schema that is first in search_path. */
CREATE PROCEDURE lab.make(shape text) LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE p (id integer PRIMARY KEY, label text);
	CASE shape
	WHEN 'uuid' THEN
		CREATE TABLE t (id uuid PRIMARY KEY, n integer CHECK (n >= 0), txt text, grp text DEFAULT 'a', ref integer REFERENCES p ON DELETE SET NULL ON UPDATE CASCADE,
			last_seen timestamptz, gen integer GENERATED ALWAYS AS (n * 2) STORED, note jsonb, u text UNIQUE);
		CREATE TABLE c (id integer PRIMARY KEY, t_id uuid REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
		CREATE TABLE s (id integer PRIMARY KEY, t_id uuid REFERENCES t ON DELETE SET NULL ON UPDATE CASCADE);
	WHEN 'pair' THEN
		CREATE TABLE "My, Table" ("Company Id" integer, n integer CHECK (n >= 0), gone bytea DEFAULT 'x', "doc, ""no""" text, txt text, grp text DEFAULT 'a', ref integer REFERENCES p ON DELETE SET NULL ON UPDATE CASCADE,
			last_seen timestamptz, gen integer GENERATED ALWAYS AS (n * 2) STORED, note jsonb, "weird ""column" numeric DEFAULT 1.50, u text UNIQUE,
			PRIMARY KEY ("Company Id", "doc, ""no"""));
		ALTER TABLE "My, Table" DROP COLUMN gone;
		CREATE TABLE c (id integer PRIMARY KEY, a integer, b text, FOREIGN KEY (a, b) REFERENCES "My, Table" ON DELETE CASCADE ON UPDATE CASCADE);
		CREATE TABLE s (id integer PRIMARY KEY, a integer, b text, FOREIGN KEY (a, b) REFERENCES "My, Table" ON DELETE SET NULL ON UPDATE CASCADE);
	WHEN 'part' THEN
		CREATE TABLE t (id integer, n integer CHECK (n >= 0), txt text, grp text DEFAULT 'a', ref integer REFERENCES p ON DELETE SET NULL ON UPDATE CASCADE,
			last_seen timestamptz, gen integer GENERATED ALWAYS AS (n * 2) STORED, note jsonb, u text, UNIQUE (u, grp, id),
			PRIMARY KEY (id, grp)) PARTITION BY LIST (grp);
		CREATE TABLE t_a (u text, gone integer, note jsonb, grp text NOT NULL, gen integer GENERATED ALWAYS AS (n * 2) STORED, n integer CONSTRAINT t_n_check CHECK (n >= 0), id integer NOT NULL, last_seen timestamptz, ref integer, txt text);
		ALTER TABLE t_a DROP COLUMN gone;
		ALTER TABLE t ATTACH PARTITION t_a FOR VALUES IN ('a');
		CREATE TABLE t_b PARTITION OF t FOR VALUES IN ('b');
		CREATE TABLE t_c PARTITION OF t FOR VALUES IN ('c', 'd') PARTITION BY HASH (id);
		CREATE TABLE t_c0 PARTITION OF t_c FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE t_c1 PARTITION OF t_c FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE c (id integer PRIMARY KEY, a integer, b text, FOREIGN KEY (a, b) REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
		CREATE TABLE s (id integer PRIMARY KEY, a integer, b text, FOREIGN KEY (a, b) REFERENCES t ON DELETE SET NULL ON UPDATE CASCADE);
	WHEN 'wide' THEN
		CREATE TYPE mood AS ENUM ('sad', 'glad');
		CREATE TYPE spot AS (x integer, label text);
		CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
		CREATE TABLE t (txt text, early integer, id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, n integer CHECK (n >= 0), grp text DEFAULT 'a', ref integer REFERENCES p ON DELETE SET NULL ON UPDATE CASCADE,
			last_seen timestamptz, gen integer GENERATED ALWAYS AS (n * 2) STORED, note jsonb, u text UNIQUE,
			m mood DEFAULT 'glad', spots spot[] DEFAULT ARRAY[ROW(1, 'one, "two"')::spot], d positive DEFAULT 7, big text, bits bit varying DEFAULT B'101', span tstzrange DEFAULT '[2020-01-01,2021-01-01)', js json DEFAULT '{"b": 1, "a":  2}', pt point DEFAULT '(1,2)', xs xml);
		ALTER TABLE t DROP COLUMN early;
		ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
		INSERT INTO t (id, n, txt, big) VALUES (1, 1, 'before', repeat('big', 2000)), (2, 2, 'before', NULL);
		ALTER TABLE t ADD COLUMN later text DEFAULT 'added without a rewrite', ADD COLUMN later_null text;
		CREATE TABLE c (id integer PRIMARY KEY, t_id bigint REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
		CREATE TABLE s (id integer PRIMARY KEY, t_id bigint REFERENCES t ON DELETE SET NULL ON UPDATE CASCADE);
	END CASE;
END $$;

CREATE PROCEDURE lab.set_up(shape text, strategy text, soft boolean) LANGUAGE plpgsql AS $$
DECLARE
	name text := shape || '_' || CASE strategy WHEN 'copy_on_change' THEN 'audit' ELSE strategy END || CASE WHEN soft THEN '_soft' ELSE '' END;
BEGIN
	INSERT INTO lab.combos
	SELECT name, shape, strategy, soft,
	       CASE shape WHEN 'pair' THEN '"My, Table"' ELSE 't' END,
	       CASE shape WHEN 'pair' THEN '"My, Table"' WHEN 'part' THEN 't_a' ELSE 't' END,
	       CASE shape WHEN 'pair' THEN '"Company Id", "doc, ""no"""' WHEN 'part' THEN 'id, grp' ELSE 'id' END,
	       CASE shape WHEN 'pair' THEN 't."Company Id" = v."Company Id" AND t."doc, ""no""" = v."doc, ""no"""' WHEN 'part' THEN 't.id = v.id AND t.grp = v.grp' ELSE 't.id = v.id' END,
	       CASE shape WHEN 'pair' THEN 'v."Company Id", v."doc, ""no"""' WHEN 'part' THEN 'v.id, v.grp' ELSE 'v.id' END,
	       shape = 'part';
	EXECUTE format('CREATE SCHEMA u_%s', name);
	PERFORM set_config('search_path', 'u_' || name || ', pg_catalog', true);
	CALL lab.make(shape);
	EXECUTE format('CREATE SCHEMA m_%s', name);
	PERFORM set_config('search_path', 'm_' || name || ', pg_catalog', true);
	CALL lab.make(shape);
	PERFORM set_config('search_path', 'public, pg_catalog', true);
	PERFORM ffs_manage(format('m_%s.%s', name, r)::regclass, strategy => strategy, soft_delete => soft,
	                   exclude => CASE WHEN r IN ('p', 'c', 's') THEN '{}' ELSE '{last_seen}' END::name[])
	   FROM unnest(ARRAY['p', (SELECT tab FROM lab.combos WHERE combo = name), 'c', 's']) r;
END $$;

/* What came of it: a line for each cell. */
CREATE VIEW lab.verdict AS
	SELECT l.name AS cell, count(*) AS tried,
	       coalesce(string_agg(r.combo || ': ' || r.differs, E'\n' ORDER BY r.combo), 'ok') AS verdict
	  FROM lab.cells l JOIN lab.results r USING (cell) GROUP BY l.cell, l.name ORDER BY l.cell;

/* Users' own triggers. */
CREATE FUNCTION lab.suppress() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF coalesce(NEW.txt, OLD.txt) LIKE 'suppress%' THEN RETURN NULL; END IF;
	RETURN coalesce(NEW, OLD);
END $$;
CREATE FUNCTION lab.suppress_n30() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.n = 30 THEN RETURN NULL; END IF;
	RETURN coalesce(NEW, OLD);
END $$;
CREATE FUNCTION lab.change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.txt := NEW.txt || ' changed by ' || TG_OP;
	RETURN NEW;
END $$;
CREATE FUNCTION lab.undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.txt := OLD.txt;
	RETURN NEW;
END $$;
CREATE FUNCTION lab.old_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN OLD;
END $$;
CREATE FUNCTION lab.again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %I.%I SET note = jsonb_build_object(''again'', n) WHERE txt = $1 AND note IS NULL', TG_TABLE_SCHEMA, TG_TABLE_NAME) USING NEW.txt;
	RETURN NULL;
END $$;
CREATE FUNCTION lab.touch_same() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %I.%I SET n = n + 1 WHERE txt = $1', TG_TABLE_SCHEMA, TG_TABLE_NAME) USING OLD.txt;
	RETURN coalesce(NEW, OLD);
END $$;
CREATE FUNCTION lab.other_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.n = 20 THEN
		EXECUTE format('UPDATE %I.%I SET note = ''"other"'' WHERE n = 40', TG_TABLE_SCHEMA, TG_TABLE_NAME);
	END IF;
	RETURN NEW;
END $$;
CREATE FUNCTION lab.summary() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	summary text;
BEGIN
	SELECT TG_OP || ' of ' || count(*) || ': ' || coalesce(string_agg(o.txt || ' to ' || n.txt, ', ' ORDER BY o.txt), '') INTO summary FROM o JOIN n ON o.n = n.n;
	EXECUTE format('INSERT INTO %I.p SELECT max(id) + 1, $1 FROM %I.p', TG_TABLE_SCHEMA, TG_TABLE_SCHEMA) USING summary;
	RETURN NULL;
END $$;
