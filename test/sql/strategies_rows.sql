-- Rows that come and change, on every shape of table, under every strategy: what a client sees
-- is what an unmanaged table gives, and the laws hold (see test/lab.sql).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
\getenv srcdir PG_ABS_SRCDIR
\set ECHO none
\set file :srcdir '/laws.sql'
\ir :file
\set file :srcdir '/lab.sql'
\ir :file
\set ECHO all

-- versions, entries, kept: what a cell adds to history, audit and deleted
INSERT INTO lab.cells (name, versions, entries, kept, steps) VALUES
('insert', 0, 2, 0, ARRAY[
	'INSERT INTO @T@ (@K@, n, txt) VALUES (@5@, 50, ''five''), (@6@, NULL, NULL)']),
('insert returning', 0, 2, 0, ARRAY[
	'INSERT INTO @T@ (@K@, n, txt) VALUES (@5@, 50, ''five''), (@6@, 60, NULL) RETURNING @K@, n, txt, gen']),
('insert, error', 0, 1, 0, ARRAY[
	'?INSERT INTO @T@ (@K@, n) VALUES (@5@, 50), (@1@, 10)', '?INSERT INTO @T@ (@K@, n) VALUES (@5@, 50), (@6@, -1)', 'INSERT INTO @T@ (@K@, n) VALUES (@6@, 50)']),
('copy', 0, 2, 0, ARRAY[
	'COPY @T@ (@K@, n, txt) FROM PROGRAM ''printf "@5v@,50,five\n@6v@,60,six\n"'' (FORMAT csv)']),
('copy, error', 0, 0, 0, ARRAY[
	'?COPY @T@ (@K@, n, txt) FROM PROGRAM ''printf "@5v@,50,five\n@1v@,60,six\n"'' (FORMAT csv)', '?COPY @T@ (@K@, n, txt) FROM PROGRAM ''printf "@5v@,50,five\n@6v@,x,six\n"'' (FORMAT csv)']),
('update', 3, 3, 0, ARRAY[
	'UPDATE @T@ SET txt = txt || ''!'' WHERE (@K@) IN ((@1@), (@2@), (@3@))']),
('update, three times', 3, 3, 0, ARRAY[
	'UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@)', 'COMMIT', 'UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@)', 'COMMIT', 'UPDATE @T@ SET txt = ''c'' WHERE (@K@) = (@1@)', 'COMMIT']),
('update returning', 2, NULL, 0, ARRAY[
	'UPDATE @T@ SET n = n + 1, txt = NULL WHERE (@K@) IN ((@1@), (@2@)) RETURNING @K@, n, txt, gen']),
('update of generated', 1, NULL, 0, ARRAY[
	'UPDATE @T@ SET n = 5 WHERE (@K@) = (@1@)', 'UPDATE @T@ SET n = NULL WHERE (@K@) = (@1@)']),
('update of nothing', 0, 0, 0, ARRAY[
	'UPDATE @T@ SET txt = ''never'' WHERE (@K@) = (@9@)', 'UPDATE @T@ SET txt = ''never'' WHERE false', 'DELETE FROM @T@ WHERE (@K@) = (@9@) RETURNING *']),
('update without change', 0, 0, 0, ARRAY[
	'UPDATE @T@ SET txt = txt, n = n, note = note WHERE (@K@) IN ((@1@), (@2@), (@3@), (@4@)) RETURNING @K@, txt']),
('update without change of some', 1, 1, 0, ARRAY[
	'UPDATE @T@ SET txt = CASE WHEN n = 20 THEN ''changed'' ELSE txt END WHERE (@K@) IN ((@1@), (@2@), (@3@), (@4@))']),
('update of excluded', 0, 0, 0, ARRAY[
	'UPDATE @T@ SET last_seen = ''2020-01-01'' WHERE (@K@) IN ((@1@), (@2@))', 'COMMIT', 'UPDATE @T@ SET last_seen = ''2021-01-01'', txt = txt WHERE (@K@) = (@1@)']),
('update of excluded, then another', 1, 1, 0, ARRAY[
	'UPDATE @T@ SET last_seen = ''2020-01-01'' WHERE (@K@) = (@1@)', 'UPDATE @T@ SET txt = ''other'' WHERE (@K@) = (@1@)', 'UPDATE @T@ SET last_seen = ''2022-01-01'' WHERE (@K@) = (@1@)']),
('update of excluded and another', 1, 1, 0, ARRAY[
	'UPDATE @T@ SET last_seen = ''2020-01-01'', txt = ''other'' WHERE (@K@) = (@1@)', 'COMMIT', 'UPDATE @T@ SET last_seen = NULL WHERE (@K@) = (@1@)']),
('update twice in one transaction', 1, 2, 0, ARRAY[
	'UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@)', 'UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@)']),
('update and back in one transaction', NULL, 2, 0, ARRAY[
	'UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@)', 'UPDATE @T@ SET txt = ''one'' WHERE (@K@) = (@1@)']),
('update across savepoints', 1, 2, 0, ARRAY[
	'+UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@)', 'UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@)']),
('update undone, then again', 1, 1, 0, ARRAY[
	'~UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@)', 'UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@)', 'COMMIT']),
('update, then one undone', 1, 1, 0, ARRAY[
	'UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@)', '~UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@)']),
('update, undone, update', 1, 2, 0, ARRAY[
	'UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@)', '~UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@);;DELETE FROM @T@ WHERE (@K@) = (@1@)', 'UPDATE @T@ SET txt = ''c'' WHERE (@K@) = (@1@)']),
('update undone', 0, 0, 0, ARRAY[
	'~UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@)', '~DELETE FROM @T@ WHERE (@K@) = (@2@)', '~INSERT INTO @T@ (@K@) VALUES (@5@)', '~TRUNCATE @T@ CASCADE']),
('exception blocks', 1, 2, 0, ARRAY[
	'DO $d$ BEGIN
		UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@);
		BEGIN
			UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@);
			BEGIN
				UPDATE @T@ SET txt = ''c'' WHERE (@K@) IN ((@1@), (@2@));
				DELETE FROM @T@ WHERE (@K@) = (@3@);
				PERFORM 1/0;
			EXCEPTION WHEN division_by_zero THEN NULL;
			END;
		END;
		BEGIN
			DELETE FROM @T@ WHERE (@K@) = (@4@);
			PERFORM 1/0;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END $d$']),
('rolled back', 1, 1, 0, ARRAY[
	'UPDATE @T@ SET txt = ''a'' WHERE (@K@) = (@1@)', 'DELETE FROM @T@ WHERE (@K@) = (@2@)', 'INSERT INTO @T@ (@K@) VALUES (@5@)', 'ROLLBACK', 'UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@)']),
('update, error', 1, 1, 0, ARRAY[
	'?UPDATE @T@ SET n = n - 35 WHERE (@K@) IN ((@4@), (@1@), (@2@))', '?UPDATE @T@ SET (@K@) = ROW(@2@) WHERE (@K@) = (@4@)', 'UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@)']),
('update from a join', 1, 1, 0, ARRAY[
	'UPDATE @T@ t SET txt = v.x FROM (VALUES (@1@, ''same''), (@1@, ''same'')) v(@K@, x) WHERE @J@']),
('update where current of', 2, 4, 0, ARRAY[
	'UPDATE @T@ SET txt = ''cursor @i1@'' WHERE (@K@) IN ((@1@), (@2@))',
	'DO $d$ DECLARE c CURSOR FOR SELECT * FROM @T@ WHERE txt = ''cursor @i1@'' FOR UPDATE; BEGIN
		FOR r IN c LOOP UPDATE @T@ SET txt = ''at the cursor'' WHERE CURRENT OF c; END LOOP;
	END $d$']),
('update through a view', 2, 3, 1, ARRAY[
	'CREATE VIEW through AS SELECT @K@, n, txt FROM @T@', 'UPDATE through SET txt = ''seen'' WHERE (@K@) = (@1@) RETURNING *', 'INSERT INTO through (@K@, n) VALUES (@5@, 50)', 'DELETE FROM through WHERE (@K@) = (@4@)', 'DROP VIEW through']),
('data-modifying CTEs', 2, 3, 1, ARRAY[
	'WITH a AS (UPDATE @T@ SET txt = ''cte'' WHERE (@K@) = (@1@) RETURNING txt), b AS (DELETE FROM @T@ WHERE (@K@) = (@4@) RETURNING txt), c AS (INSERT INTO @T@ (@K@, txt) VALUES (@5@, ''new'') RETURNING txt)
	 SELECT * FROM a UNION ALL SELECT * FROM b UNION ALL SELECT * FROM c']),
('lock, then update', 1, 1, 0, ARRAY[
	'SELECT n FROM @T@ WHERE (@K@) = (@1@) FOR UPDATE', '+SELECT n FROM @T@ WHERE (@K@) = (@1@) FOR NO KEY UPDATE', 'UPDATE @T@ SET txt = ''locked'' WHERE (@K@) = (@1@)', '+SELECT n FROM @T@ WHERE (@K@) = (@1@) FOR SHARE']),
('null in json', NULL, NULL, 0, ARRAY[
	'UPDATE @T@ SET note = ''null'' WHERE (@K@) = (@1@)', 'COMMIT', 'UPDATE @T@ SET note = ''{"a": [1, null]}'' WHERE (@K@) = (@1@)', 'COMMIT', 'UPDATE @T@ SET note = NULL WHERE (@K@) = (@1@)']),
('update of a parent''s key', 1, 1, 0, ARRAY[
	'UPDATE p SET id = @i9@ WHERE id = @i1@']),
('merge', 1, NULL, 0, ARRAY[
	'MERGE INTO @T@ t USING (VALUES (@1@, 11), (@5@, 55)) v(@K@, nn) ON @J@ WHEN MATCHED THEN UPDATE SET n = v.nn, txt = ''merged'' WHEN NOT MATCHED THEN INSERT (@K@, n, txt) VALUES (@V@, v.nn, ''merged'')']),
('merge deletes', 2, 3, 1, ARRAY[
	'MERGE INTO @T@ t USING (VALUES (@1@, 0), (@4@, 1), (@5@, 2), (@2@, 3)) v(@K@, nn) ON @J@ WHEN MATCHED AND nn = 0 THEN UPDATE SET txt = ''m'' WHEN MATCHED AND nn = 1 THEN DELETE WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (@K@) VALUES (@V@)']),
('merge without change', 0, 0, 0, ARRAY[
	'MERGE INTO @T@ t USING (VALUES (@1@), (@2@)) v(@K@) ON @J@ WHEN MATCHED THEN UPDATE SET txt = txt']),
('merge twice on a row', 1, 1, 0, ARRAY[
	'?MERGE INTO @T@ t USING (VALUES (@1@, 11), (@1@, 12)) v(@K@, nn) ON @J@ WHEN MATCHED THEN UPDATE SET n = v.nn', 'UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@)']),
('on conflict do update', 1, 2, 0, ARRAY[
	'INSERT INTO @T@ AS t (@K@, n, txt) VALUES (@1@, 10, ''up''), (@5@, 50, ''in'') ON CONFLICT (@K@) DO UPDATE SET txt = EXCLUDED.txt || t.txt RETURNING @K@, n, txt']),
('on conflict do update, no change', 0, 0, 0, ARRAY[
	'INSERT INTO @T@ AS t (@K@, n, txt) VALUES (@1@, 11, ''one'') ON CONFLICT (@K@) DO UPDATE SET txt = EXCLUDED.txt', 'INSERT INTO @T@ AS t (@K@, last_seen) VALUES (@1@, ''2020-01-01'') ON CONFLICT (@K@) DO UPDATE SET last_seen = EXCLUDED.last_seen']),
('on conflict do update where not', 0, 0, 0, ARRAY[
	'INSERT INTO @T@ AS t (@K@, n, txt) VALUES (@1@, 11, ''up'') ON CONFLICT (@K@) DO UPDATE SET txt = EXCLUDED.txt WHERE t.n > 1000 RETURNING @K@']),
('on conflict do update twice', 1, 1, 0, ARRAY[
	'?INSERT INTO @T@ AS t (@K@, n) VALUES (@1@, 11), (@1@, 12) ON CONFLICT (@K@) DO UPDATE SET n = EXCLUDED.n', 'UPDATE @T@ SET txt = ''b'' WHERE (@K@) = (@1@)']),
('on conflict after an insert', 0, 2, 0, ARRAY[
	'INSERT INTO @T@ AS t (@K@, txt) VALUES (@5@, ''in'')', 'INSERT INTO @T@ AS t (@K@, txt) VALUES (@5@, ''up'') ON CONFLICT (@K@) DO UPDATE SET txt = EXCLUDED.txt']),
('on conflict do nothing', 0, 1, 0, ARRAY[
	'INSERT INTO @T@ (@K@, n) VALUES (@1@, 11), (@5@, 50), (@5@, 51) ON CONFLICT DO NOTHING', 'INSERT INTO @T@ (@K@, n) VALUES (@1@, 11) ON CONFLICT (@K@) DO NOTHING RETURNING n']),
('on conflict after a delete', 1, 2, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'INSERT INTO @T@ AS t (@K@, txt) VALUES (@4@, ''back'') ON CONFLICT (@K@) DO UPDATE SET txt = EXCLUDED.txt']);

-- what only some shapes have
INSERT INTO lab.cells (name, versions, entries, kept, only_shape, steps) VALUES
('rows from before a column was added', 2, NULL, 0, 'wide', ARRAY[
	'UPDATE t SET n = n + @i1@ WHERE id IN (1, 2) RETURNING later, big', 'COMMIT', 'INSERT INTO t (id, n) SELECT id, n FROM (VALUES (1, 1), (2, 2)) v(id, n) ON CONFLICT DO NOTHING', 'UPDATE t SET txt = ''x'' WHERE false']),
('stored out of line', 2, 3, 0, 'wide', ARRAY[
	'INSERT INTO t (id, big) VALUES (@5@, repeat(''x'', 30000))', 'COMMIT', 'UPDATE t SET txt = ''x'' WHERE id = @5@', 'COMMIT', 'UPDATE t SET big = big || ''y'' WHERE id = @5@', 'COMMIT', 'UPDATE t SET big = repeat(''x'', 30000) || ''y'' WHERE id = @5@']),
('types of all kinds', 4, NULL, 0, 'wide', ARRAY[
	'UPDATE t SET m = ''sad'', spots = spots || ROW(2, NULL)::spot, d = 8, span = NULL, js = ''{"a":1}'', pt = ''(3,4)'', bits = B''1'' WHERE id IN (@1@, @2@)', 'COMMIT', 'UPDATE t SET js = ''{"a": 1}'', pt = ''(3,4)'' WHERE id = @1@', 'DELETE FROM t WHERE id = @2@ RETURNING to_jsonb(spots)']);
UPDATE lab.cells SET kept = NULL WHERE name = 'types of all kinds';

\set file :srcdir '/lab_run.sql'
\ir :file
