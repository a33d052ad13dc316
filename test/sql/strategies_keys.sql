-- Keys that change, partitions, rows that move between them, on every shape of table, under every strategy: what a client sees
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
('changed key', 1, NULL, 0, ARRAY[
	'UPDATE @T@ SET (@K@) = ROW(@8@) WHERE (@K@) = (@4@)', 'COMMIT']),
('changed key returning', 1, NULL, 0, ARRAY[
	'UPDATE @T@ SET (@K@) = ROW(@8@), txt = ''other'' WHERE (@K@) = (@4@) RETURNING @K@, n, txt', 'COMMIT', 'UPDATE @T@ SET txt = txt WHERE (@K@) = (@8@)']),
('changed key cascades', 1, NULL, 0, ARRAY[
	'UPDATE @T@ SET (@K@) = ROW(@8@) WHERE (@K@) = (@1@)', 'COMMIT', 'INSERT INTO @T@ (@K@, n) VALUES (@1@, 1)']),
('changed key, twice', 2, NULL, 0, ARRAY[
	'UPDATE @T@ SET (@K@) = ROW(@8@) WHERE (@K@) = (@4@)', 'COMMIT', 'UPDATE @T@ SET (@K@) = ROW(@9@) WHERE (@K@) = (@8@)', 'COMMIT']),
('changed key and back', 2, NULL, 0, ARRAY[
	'UPDATE @T@ SET (@K@) = ROW(@8@) WHERE (@K@) = (@4@)', 'COMMIT', 'UPDATE @T@ SET (@K@) = ROW(@4@) WHERE (@K@) = (@8@)', 'COMMIT']),
('changed key and back in one transaction', 1, NULL, 0, ARRAY[
	'UPDATE @T@ SET (@K@) = ROW(@8@) WHERE (@K@) = (@4@)', 'UPDATE @T@ SET (@K@) = ROW(@4@) WHERE (@K@) = (@8@)', 'COMMIT']),
('changed key of a new row', 0, NULL, 0, ARRAY[
	'INSERT INTO @T@ (@K@, n) VALUES (@5@, 50)', 'UPDATE @T@ SET (@K@) = ROW(@6@) WHERE (@K@) = (@5@)', 'COMMIT']),
('changed key undone', 1, 1, 0, ARRAY[
	'~UPDATE @T@ SET (@K@) = ROW(@8@) WHERE (@K@) = (@4@)', 'UPDATE @T@ SET txt = ''x'' WHERE (@K@) = (@4@)']),
('changed key after an update', 1, NULL, 0, ARRAY[
	'UPDATE @T@ SET txt = ''x'' WHERE (@K@) = (@4@)', 'UPDATE @T@ SET (@K@) = ROW(@8@) WHERE (@K@) = (@4@)', 'UPDATE @T@ SET txt = ''y'' WHERE (@K@) = (@8@)', 'COMMIT']),
('keys swapped in one transaction', 2, NULL, 0, ARRAY[
	'UPDATE @T@ SET (@K@) = ROW(@9@) WHERE (@K@) = (@3@)', 'UPDATE @T@ SET (@K@) = ROW(@3@) WHERE (@K@) = (@4@)', 'UPDATE @T@ SET (@K@) = ROW(@4@) WHERE (@K@) = (@9@)', 'COMMIT']),
('key of a deleted row', 2, NULL, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'COMMIT', 'UPDATE @T@ SET (@K@) = ROW(@4@) WHERE (@K@) = (@3@)', 'COMMIT']),
('key of a deleted row in one transaction', 2, NULL, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'UPDATE @T@ SET (@K@) = ROW(@4@) WHERE (@K@) = (@3@)', 'COMMIT']),
('changed key, then deleted', 1, NULL, NULL, ARRAY[
	'UPDATE @T@ SET (@K@) = ROW(@8@) WHERE (@K@) = (@4@)', 'DELETE FROM @T@ WHERE (@K@) = (@8@)', 'COMMIT']),
('on conflict changes the key', 1, NULL, 0, ARRAY[
	'INSERT INTO @T@ AS t (@K@, txt) VALUES (@4@, ''x'') ON CONFLICT (@K@) DO UPDATE SET (@K@) = ROW(@8@)', 'COMMIT']),
('moved', 4, -2, 0, ARRAY[
	'UPDATE @T@ SET grp = ''b'' WHERE (@K@) IN ((@1@), (@2@), (@3@), (@4@)) RETURNING n, grp', 'COMMIT', 'UPDATE @T@ SET txt = txt WHERE grp = ''b''']),
('moved and back', 2, -2, 0, ARRAY[
	'UPDATE @T@ SET grp = ''b'', txt = ''away @i1@'' WHERE (@K@) = (@1@)', 'COMMIT', 'UPDATE @T@ SET grp = ''a'' WHERE txt = ''away @i1@''', 'COMMIT']),
('moved and changed in one transaction', 1, -2, 0, ARRAY[
	'UPDATE @T@ SET grp = ''b'', txt = ''moved @i1@'' WHERE (@K@) = (@1@)', 'UPDATE @T@ SET grp = ''c'', n = 1 WHERE txt = ''moved @i1@''', 'UPDATE @T@ SET txt = ''more @i1@'' WHERE txt = ''moved @i1@''', 'COMMIT']),
('moved and deleted in one transaction', 1, -2, -2, ARRAY[
	'UPDATE @T@ SET grp = ''b'', txt = ''moved @i4@'' WHERE (@K@) = (@4@)', 'DELETE FROM @T@ WHERE txt = ''moved @i4@''', 'COMMIT']),
('moved, undone', 1, 1, 0, ARRAY[
	'~UPDATE @T@ SET grp = ''b'' WHERE (@K@) = (@4@)', 'UPDATE @T@ SET txt = ''x'' WHERE (@K@) = (@4@)']),
('moved by merge', 1, -2, 0, ARRAY[
	'MERGE INTO @T@ t USING (VALUES (@1@)) v(@K@) ON @J@ WHEN MATCHED THEN UPDATE SET grp = ''d''', 'COMMIT']),
('on a partition', 3, 4, 1, ARRAY[
	'UPDATE @P@ SET txt = ''x'' WHERE (@K@) IN ((@1@), (@3@)) RETURNING @K@, n, txt', 'DELETE FROM @P@ WHERE (@K@) = (@4@)', 'INSERT INTO @P@ (@K@, n) VALUES (@5@, 50)', 'COMMIT']),
('copy and merge on a partition', 1, 3, 0, ARRAY[
	'COPY @P@ (@K@, n, txt) FROM PROGRAM ''printf "@5v@,50,five\n@6v@,60,six\n"'' (FORMAT csv)', 'MERGE INTO @P@ t USING (VALUES (@1@)) v(@K@) ON @J@ WHEN MATCHED THEN UPDATE SET txt = ''x''']),
('on conflict on a partition', 1, 2, 0, ARRAY[
	'INSERT INTO @P@ AS t (@K@, n, txt) VALUES (@1@, 10, ''up''), (@5@, 50, ''in'') ON CONFLICT (@K@) DO UPDATE SET txt = EXCLUDED.txt || t.txt']);

INSERT INTO lab.cells (name, versions, entries, kept, only_shape, steps) VALUES
('between subpartitions', 2, NULL, 0, 'part', ARRAY[
	'UPDATE t SET grp = ''c'' WHERE id = @i1@', 'COMMIT', 'UPDATE t SET id = @i5@ WHERE id = @i1@', 'UPDATE t_c SET txt = ''x'' WHERE id = @i5@', 'UPDATE t_c SET id = @i6@ WHERE id = @i5@', 'COMMIT', '?UPDATE t_c SET grp = ''a'' WHERE id = @i6@', '?INSERT INTO t (id, grp) VALUES (@i7@, ''nowhere'')']),
('truncate of a subpartition', NULL, NULL, NULL, 'part', ARRAY[
	'UPDATE t SET grp = ''c'' WHERE id IN (@i1@, @i2@, @i3@, @i4@)', 'COMMIT', 'TRUNCATE t_c CASCADE', 'COMMIT']);

\set file :srcdir '/lab_run.sql'
\ir :file
