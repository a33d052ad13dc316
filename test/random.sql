/*
 * Random statements on a few keys, many times, on managed tables and their
 * unmanaged twins: the same answers, the same rows, and the laws.  After
 * laws.sql and lab.sql; lab.setup_all() makes every combination, lab.random()
 * gives a line for each thing that differs.
 */
CREATE TABLE lab.script (n serial PRIMARY KEY, combo text, step text);

CREATE FUNCTION lab.dice(n integer) RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT floor(random() * n)::integer $$;

/* A statement about keys a, b and c, three different ones of ten. */
CREATE FUNCTION lab.random_statement(safe boolean) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	a integer := lab.dice(9) + 1;
	b integer := (a + lab.dice(8)) % 9 + 1;
	c integer;
	pool text[];
	t text := '@T@';
BEGIN
	IF b = a THEN b := a % 9 + 1; END IF;
	c := 1 + (greatest(a, b) % 9);
	IF c IN (a, b) THEN c := CASE WHEN 1 NOT IN (a, b) THEN 1 WHEN 2 NOT IN (a, b) THEN 2 ELSE 3 END; END IF;
	IF lab.dice(8) = 0 THEN t := '@P@'; END IF;
	pool := ARRAY[
		/* what cannot fail */
		'INSERT INTO :T (@K@, n, txt) VALUES (@:A@, :N, '':X''), (@:B@, :N, NULL) ON CONFLICT DO NOTHING RETURNING @K@',
		'INSERT INTO :T AS t (@K@, n, txt) VALUES (@:A@, :N, '':X'') ON CONFLICT (@K@) DO UPDATE SET txt = EXCLUDED.txt RETURNING @K@, n, txt',
		'INSERT INTO :T AS t (@K@, n, txt) VALUES (@:A@, :N, '':X'') ON CONFLICT (@K@) DO UPDATE SET n = EXCLUDED.n, txt = t.txt WHERE t.n > 2',
		'UPDATE :T SET txt = '':X'' WHERE (@K@) = (@:A@) RETURNING @K@, txt, gen',
		'UPDATE :T SET txt = '':X'' WHERE (@K@) IN ((@:A@), (@:B@), (@:C@))',
		'UPDATE :T SET n = :N, note = to_jsonb(n) WHERE n % 3 = 1 RETURNING n, note',
		'UPDATE :T SET n = :N WHERE (@K@) = (@:A@)',
		'UPDATE :T SET last_seen = ''2020-01-0:N'' WHERE (@K@) IN ((@:A@), (@:B@))',
		'UPDATE :T SET last_seen = NULL, txt = '':X'' WHERE (@K@) = (@:A@)',
		'UPDATE :T SET txt = txt',
		'DELETE FROM :T WHERE (@K@) = (@:A@) RETURNING @K@, n, txt',
		'DELETE FROM :T WHERE (@K@) = (@:A@)',
		'DELETE FROM :T WHERE n % 4 = 2',
		'DELETE FROM @T@ WHERE grp <> ''a'' AND n % 2 = 0 RETURNING @K@',
		'MERGE INTO :T t USING (VALUES (@:A@, 1), (@:B@, 2), (@:C@, 3)) v(@K@, nn) ON @J@ WHEN MATCHED AND nn = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET txt = '':X'' WHEN NOT MATCHED AND nn < 3 THEN INSERT (@K@, n, txt) VALUES (@V@, v.nn, ''merged'')',
		'WITH x AS (UPDATE @T@ SET txt = '':X'' WHERE (@K@) = (@:A@) RETURNING 1), y AS (DELETE FROM @T@ WHERE (@K@) = (@:B@) RETURNING 2), z AS (INSERT INTO @T@ (@K@, txt) VALUES (@:C@, '':X'') ON CONFLICT DO NOTHING RETURNING 3) SELECT * FROM x UNION ALL SELECT * FROM y UNION ALL SELECT * FROM z',
		'INSERT INTO c SELECT :A, @K@ FROM @T@ WHERE (@K@) = (@:A@) ON CONFLICT DO NOTHING',
		'INSERT INTO s SELECT :A, @K@ FROM @T@ WHERE (@K@) = (@:B@) ON CONFLICT DO NOTHING',
		'INSERT INTO p VALUES (:A, '':X'') ON CONFLICT (id) DO UPDATE SET label = EXCLUDED.label',
		'UPDATE @T@ SET ref = (SELECT min(id) FROM p WHERE id >= :B) WHERE (@K@) = (@:A@)',
		'DELETE FROM p WHERE id = :A',
		'SELECT n FROM :T WHERE (@K@) = (@:A@) FOR UPDATE',
		/* what can */
		'INSERT INTO :T (@K@, n, txt) VALUES (@:A@, :N, '':X'')',
		'INSERT INTO :T (@K@, n, txt) VALUES (@:A@, :N, '':X''), (@:B@, 4 - :N, NULL)',
		'INSERT INTO :T (@K@, n, u) VALUES (@:A@, :N, '':X'') ON CONFLICT (@K@) DO UPDATE SET u = EXCLUDED.u',
		'INSERT INTO :T AS t (@K@, n) VALUES (@:A@, :N) ON CONFLICT (@K@) DO UPDATE SET (@K@) = ROW(@:B@)',
		'UPDATE :T SET (@K@) = ROW(@:B@) WHERE (@K@) = (@:A@) RETURNING @K@, txt',
		'UPDATE :T SET (@K@) = ROW(@:B@) WHERE (@K@) = (@:A@)',
		'UPDATE :T SET (@K@) = ROW(@0@), txt = '':X'' WHERE (@K@) = (@:A@)',
		'UPDATE :T SET (@K@) = ROW(@:A@) WHERE (@K@) = (@0@)',
		'UPDATE @T@ SET (@K@) = ROW(@0@) WHERE (@K@) = (@:A@);;UPDATE @T@ SET (@K@) = ROW(@:A@) WHERE (@K@) = (@:B@);;UPDATE @T@ SET (@K@) = ROW(@:B@) WHERE (@K@) = (@0@)',
		'UPDATE @T@ SET grp = '':G'' WHERE n % 3 = :N % 3',
		'UPDATE @T@ SET grp = '':G'' WHERE (@K@) = (@:A@) RETURNING grp, txt',
		'UPDATE @T@ SET grp = ''a'', txt = '':X'' WHERE grp IN (''b'', ''c'')',
		'UPDATE :T SET n = n - 3',
		'UPDATE p SET id = :B WHERE id = :A',
		'DELETE FROM :T WHERE (@K@) = (@:A@);;INSERT INTO :T (@K@, n, txt) VALUES (@:A@, :N, '':X'')',
		'UPDATE :T SET txt = '':X'' WHERE (@K@) = (@:A@);;DELETE FROM :T WHERE (@K@) = (@:A@)',
		'MERGE INTO @T@ t USING (VALUES (@:A@), (@:B@)) v(@K@) ON @J@ WHEN MATCHED THEN UPDATE SET grp = '':G'' WHEN NOT MATCHED THEN INSERT (@K@, n) VALUES (@V@, :N)'];
	IF NOT safe AND lab.dice(60) = 0 THEN
		RETURN (ARRAY['TRUNCATE @T@ CASCADE', 'TRUNCATE @P@ CASCADE', 'TRUNCATE @T@, c, s', 'TRUNCATE c', 'TRUNCATE p CASCADE'])[1 + lab.dice(5)];
	END IF;
	RETURN replace(replace(replace(replace(replace(replace(replace(pool[1 + lab.dice(CASE WHEN safe THEN 22 ELSE array_length(pool, 1) END)],
		':T', t), ':A', a::text), ':B', b::text), ':C', c::text), ':N', (1 + lab.dice(5))::text), ':X', chr(120 + lab.dice(3))), ':G', chr(97 + lab.dice(4)));
END $$;

CREATE FUNCTION lab.random_step() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	step text;
BEGIN
	IF lab.dice(3) = 0 THEN
		RETURN lab.random_statement(true);	-- with no subtransaction around it
	END IF;
	step := (ARRAY['~', '+', '+'])[1 + lab.dice(3)] || lab.random_statement(false);
	WHILE lab.dice(2) = 0 LOOP
		step := step || ';;' || lab.random_statement(false);
	END LOOP;
	RETURN '?' || step;
END $$;

/* One step; any error is an answer. */
CREATE FUNCTION lab.attempt(step text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF left(step, 1) <> '?' THEN
		RETURN lab.step(step);
	END IF;
	BEGIN
		RETURN lab.step(substr(step, 2));
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END;
END $$;

/* ffs_restore() on the managed table; what it brings back is put into the twin, too. */
CREATE FUNCTION lab.restore(c lab.combos, k integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	done boolean;
	columns text;
BEGIN
	PERFORM set_config('search_path', format('m_%s, public, pg_catalog', c.combo), false);
	BEGIN
		EXECUTE lab.expand(format('SELECT ffs_restore(''@T@'', @%s@)', k), c.combo, 0) INTO done;
		IF done THEN
			SELECT string_agg(quote_ident(attname), ', ') INTO columns
			  FROM pg_attribute WHERE attrelid = format('u_%s.%s', c.combo, c.tab)::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
			EXECUTE lab.expand(format('INSERT INTO u_%s.@T@ (%s) SELECT %2$s FROM (SELECT (jsonb_populate_record(NULL::u_%1$s.@T@, to_jsonb(t))).* FROM m_%1$s.@T@ t WHERE (@K@) = (@%3$s@)) r', c.combo, columns, k), c.combo, 0);
		END IF;
		IF lab.dice(4) = 0 THEN
			RAISE EXCEPTION USING ERRCODE = 'XX999';
		END IF;
	EXCEPTION WHEN OTHERS THEN
		RETURN format('restore of key %s: %s %s', k, SQLSTATE, SQLERRM);
	END;
	RETURN format('restore of key %s: %s', k, done);
END $$;

CREATE PROCEDURE lab.random(combo text, seed integer, transactions integer) LANGUAGE plpgsql AS $$
DECLARE
	c lab.combos;
	m record;
	target text;
	step text;
	expanded text;
	answer text;
	other text;
	n_steps integer;
	told text[] := '{}';
	differs text[] := '{}';
	line text;
	bad integer := 0;
BEGIN
	SELECT * INTO c FROM lab.combos x WHERE x.combo = random.combo;
	target := format('m_%s.%s', c.combo, c.tab);
	SELECT * INTO m FROM ffstorage.managed g WHERE g.relation = target::regclass;
	PERFORM set_config('client_min_messages', 'warning', false);
	PERFORM setseed(seed / 100000.0);
	FOR i IN 1 .. transactions LOOP
		n_steps := 1 + lab.dice(5);
		FOR j IN 1 .. n_steps LOOP
			IF c.soft AND lab.dice(8) = 0 THEN
				told := told || lab.restore(c, lab.dice(9) + 1);
				CONTINUE;
			END IF;
			step := lab.random_step();
			expanded := lab.expand(step, combo, 0);
			PERFORM set_config('search_path', format('u_%s, pg_catalog', combo), false);
			answer := lab.attempt(expanded);
			PERFORM set_config('search_path', format('m_%s, pg_catalog', combo), false);
			other := lab.attempt(expanded);
			told := told || (expanded || E'\n    => ' || answer);
			IF answer IS DISTINCT FROM other THEN
				differs := differs || format('transaction %s: %s answered %s, unmanaged %s', i, expanded, other, answer);
			END IF;
		END LOOP;
		IF lab.dice(6) = 0 THEN
			ROLLBACK;
			told := told || 'ROLLBACK'::text;
		ELSE
			COMMIT;
			told := told || 'COMMIT'::text;
		END IF;
		INSERT INTO lab.script (combo, step) SELECT c.combo, x FROM unnest(told) x;
		INSERT INTO lab.broken SELECT c.combo, x FROM unnest(differs) x;
		bad := coalesce(array_length(differs, 1), 0);
		told := '{}';
		IF m.history IS NOT NULL THEN
			INSERT INTO lab.moments VALUES (combo, i, clock_timestamp(), public.laws_state(target::regclass));
			COMMIT;
		END IF;
		FOR line IN
			SELECT public.laws(target::regclass)
			UNION ALL
			SELECT d FROM unnest(ARRAY[c.tab, 'p', 'c', 's']) r,
			       LATERAL lab.difference('row of ' || r, lab.contents(format('u_%s.%s', c.combo, r)), lab.contents(format('m_%s.%s', c.combo, r))) d
		LOOP
			INSERT INTO lab.broken VALUES (combo, format('transaction %s: %s', i, line)) ON CONFLICT DO NOTHING;
			bad := bad + 1;
		END LOOP;
		EXIT WHEN bad > 0;
	END LOOP;
	FOR line IN SELECT public.laws(format('m_%s.%s', combo, r)::regclass) FROM unnest(ARRAY['p', 'c', 's']) r LOOP
		INSERT INTO lab.broken VALUES (combo, 'beside: ' || line) ON CONFLICT DO NOTHING;
	END LOOP;
	INSERT INTO lab.broken
	SELECT c.combo, format('as of transaction %s the table was %s, is %s', cell, state, public.laws_state(target::regclass, at))
	  FROM lab.moments x WHERE x.combo = random.combo AND state <> public.laws_state(target::regclass, at);
	COMMIT;
	PERFORM set_config('search_path', 'public', false);
END $$;
