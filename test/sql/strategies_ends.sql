-- Rows that go, and come again, on every shape of table, under every strategy: what a client sees
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
('delete', 1, 1, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)']),
('delete returning', 2, 2, 2, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) IN ((@3@), (@4@)) RETURNING @K@, n, txt, gen, ref']),
('delete using', 2, 2, 2, ARRAY[
	'DELETE FROM @T@ t USING (VALUES (@3@), (@4@), (@4@)) v(@K@) WHERE @J@']),
('delete cascades', 1, 1, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@1@)']),
('delete sets null', 1, 1, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@2@)']),
('delete of a parent', 1, 1, 0, ARRAY[
	'DELETE FROM p WHERE id = @i1@']),
('insert and delete in one transaction', 0, 2, NULL, ARRAY[
	'INSERT INTO @T@ (@K@, n) VALUES (@5@, 50)', 'DELETE FROM @T@ WHERE (@K@) = (@5@)']),
('insert, update and delete in one transaction', 0, 3, NULL, ARRAY[
	'INSERT INTO @T@ (@K@, n) VALUES (@5@, 50)', 'UPDATE @T@ SET txt = ''five'' WHERE (@K@) = (@5@)', 'DELETE FROM @T@ WHERE (@K@) = (@5@)']),
('insert and update in one transaction', 0, 2, 0, ARRAY[
	'INSERT INTO @T@ (@K@, n) VALUES (@5@, 50)', 'UPDATE @T@ SET txt = ''five'' WHERE (@K@) = (@5@)']),
('insert, update in a subtransaction', 0, 2, 0, ARRAY[
	'INSERT INTO @T@ (@K@, n) VALUES (@5@, 50)', '+UPDATE @T@ SET txt = ''five'' WHERE (@K@) = (@5@)']),
('insert undone, then again', 0, 1, 0, ARRAY[
	'~INSERT INTO @T@ (@K@, n) VALUES (@5@, 50)', 'INSERT INTO @T@ (@K@, n) VALUES (@5@, 51)']),
('insert in a subtransaction, delete', 0, 2, NULL, ARRAY[
	'+INSERT INTO @T@ (@K@, n) VALUES (@5@, 50)', 'DELETE FROM @T@ WHERE (@K@) = (@5@)']),
('delete undone, then update', 1, 1, 0, ARRAY[
	'~DELETE FROM @T@ WHERE (@K@) = (@4@)', 'UPDATE @T@ SET txt = ''still here'' WHERE (@K@) = (@4@)']),
('update and delete in one transaction', 1, 3, 1, ARRAY[
	'UPDATE @T@ SET txt = ''going'' WHERE (@K@) = (@4@)', 'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'COMMIT', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)']),
('update, delete undone', 1, 1, 0, ARRAY[
	'UPDATE @T@ SET txt = ''staying'' WHERE (@K@) = (@4@)', '~DELETE FROM @T@ WHERE (@K@) = (@4@)']),
('update in a subtransaction, delete', 1, 2, 1, ARRAY[
	'+UPDATE @T@ SET txt = ''going'' WHERE (@K@) = (@4@)', 'DELETE FROM @T@ WHERE (@K@) = (@4@)']),
('update, delete in a subtransaction', 1, 2, 1, ARRAY[
	'UPDATE @T@ SET txt = ''going'' WHERE (@K@) = (@4@)', '+DELETE FROM @T@ WHERE (@K@) = (@4@)']),
('delete and insert', 1, 2, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'COMMIT', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)', 'COMMIT']),
('delete and insert, twice', 2, 4, 2, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'COMMIT', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)', 'COMMIT', 'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'COMMIT', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 45)']),
('delete and insert in one transaction', 1, 2, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)', 'COMMIT', 'UPDATE @T@ SET txt = NULL WHERE (@K@) = (@4@)', 'UPDATE @T@ SET txt = NULL WHERE (@K@) = (@4@)']),
('delete, insert and update in one transaction', 1, 3, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)', 'UPDATE @T@ SET txt = ''x'' WHERE (@K@) = (@4@)', 'COMMIT']),
('update, delete and insert in one transaction', 1, 3, 1, ARRAY[
	'UPDATE @T@ SET txt = ''x'' WHERE (@K@) = (@4@)', 'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)', 'COMMIT']),
('delete, insert and delete in one transaction', 1, 4, NULL, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)', 'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'COMMIT', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 45)']),
('delete and insert, three times in one transaction', 1, 7, NULL, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)', 'DELETE FROM @T@ WHERE (@K@) = (@4@)', '+INSERT INTO @T@ (@K@, n) VALUES (@4@, 45)', 'DELETE FROM @T@ WHERE (@K@) = (@4@)', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 46)', 'UPDATE @T@ SET txt = ''x'' WHERE (@K@) = (@4@)', 'COMMIT']),
('delete, insert undone, insert', 1, 2, 1, ARRAY[
	'DELETE FROM @T@ WHERE (@K@) = (@4@)', '~INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 45)', 'COMMIT']),
('truncate refused', 0, 0, 0, ARRAY[
	'?TRUNCATE @T@', '?TRUNCATE p']),
('truncate', -1, NULL, NULL, ARRAY[
	'TRUNCATE @T@, c, s', 'COMMIT', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 44)', 'COMMIT']),
('truncate cascade', -1, NULL, NULL, ARRAY[
	'TRUNCATE @T@ CASCADE', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 45)', 'COMMIT']),
('truncate undone', 0, 0, 0, ARRAY[
	'TRUNCATE @T@ CASCADE', 'INSERT INTO @T@ (@K@, n) VALUES (@4@, 45)', 'ROLLBACK', '~TRUNCATE @T@ CASCADE']),
('truncate of children', 0, 0, 0, ARRAY[
	'TRUNCATE c', 'TRUNCATE s']),
('truncate after changes', -1, NULL, NULL, ARRAY[
	'INSERT INTO @T@ (@K@, n) VALUES (@5@, 44)', 'UPDATE @T@ SET txt = ''x'' WHERE (@K@) = (@1@)', '+UPDATE @T@ SET txt = ''y'' WHERE (@K@) = (@2@)', 'TRUNCATE @T@ CASCADE', 'COMMIT']),
('truncate of a partition', NULL, NULL, NULL, ARRAY[
	'UPDATE @T@ SET grp = ''b'', txt = ''moved'' WHERE (@K@) = (@4@)', 'TRUNCATE @P@ CASCADE', 'COMMIT']),
('truncate of a parent', -1, -1, NULL, ARRAY[
	'TRUNCATE p CASCADE', 'COMMIT']);

\set file :srcdir '/lab_run.sql'
\ir :file
