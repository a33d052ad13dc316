-- Users' own triggers, on every shape of table, under every strategy: what a client sees
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

-- users' own triggers: before ours, after ours, far after
INSERT INTO lab.cells (name, versions, entries, kept, steps)
SELECT 'trigger ' || name || ' suppresses a row', 1, 2, 0, ARRAY[
	format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OR DELETE ON @T@ FOR EACH ROW EXECUTE FUNCTION lab.suppress()', name),
	'INSERT INTO @T@ (@K@, txt) VALUES (@5@, ''suppress''), (@6@, ''six'') RETURNING @K@', 'UPDATE @T@ SET txt = CASE WHEN n = 10 THEN ''suppress'' ELSE ''not'' END WHERE (@K@) IN ((@1@), (@2@)) RETURNING @K@',
	format('DROP TRIGGER %I ON @T@', name), 'COMMIT']
  FROM unnest(ARRAY['aaa', 'zzzz', '~~~', '€']) name
UNION ALL
SELECT 'trigger ' || name || ' suppresses an update, then it happens', 2, 2, 1, ARRAY[
	format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON @T@ FOR EACH ROW EXECUTE FUNCTION lab.suppress_n30()', name),
	'UPDATE @T@ SET txt = ''x'' WHERE (@K@) = (@3@)', 'DELETE FROM @T@ WHERE (@K@) IN ((@3@), (@4@))',
	format('DROP TRIGGER %I ON @T@', name), 'UPDATE @T@ SET txt = ''z'' WHERE (@K@) = (@3@)', 'COMMIT']
  FROM unnest(ARRAY['aaa', 'zzzz', '~~~', '€']) name
UNION ALL
SELECT 'trigger ' || name || ' changes a row', 2, 3, 0, ARRAY[
	format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE ON @T@ FOR EACH ROW EXECUTE FUNCTION lab.change()', name),
	'INSERT INTO @T@ (@K@, txt) VALUES (@6@, ''six'') RETURNING @K@, txt', 'UPDATE @T@ SET last_seen = ''2020-01-01'' WHERE (@K@) = (@1@) RETURNING txt', 'UPDATE @T@ SET txt = ''two'' WHERE (@K@) = (@2@) RETURNING txt',
	format('DROP TRIGGER %I ON @T@', name), 'COMMIT']
  FROM unnest(ARRAY['aaa', 'zzzz', '~~~', '€']) name
UNION ALL
SELECT 'trigger ' || name || ' undoes a change', 0, 0, 0, ARRAY[
	format('CREATE TRIGGER %I BEFORE UPDATE ON @T@ FOR EACH ROW EXECUTE FUNCTION lab.%s()', name, f),
	'UPDATE @T@ SET txt = ''x'' WHERE (@K@) IN ((@1@), (@2@)) RETURNING txt',
	format('DROP TRIGGER %I ON @T@', name), 'COMMIT']
  FROM (VALUES ('aaa', 'undo'), ('zzzz', 'old_again'), ('~~~', 'undo')) x(name, f)
UNION ALL
SELECT 'trigger ' || name || ' on a partition changes a row', 1, 1, 0, ARRAY[
	format('CREATE TRIGGER %I BEFORE UPDATE ON @P@ FOR EACH ROW EXECUTE FUNCTION lab.change()', name),
	'UPDATE @T@ SET txt = ''one'' WHERE (@K@) = (@1@) RETURNING txt',
	format('DROP TRIGGER %I ON @P@', name), 'COMMIT']
  FROM unnest(ARRAY['aaa', '~~~']) name
UNION ALL
SELECT 'renamed trigger suppresses a row', 0, 0, 0, ARRAY[
	'CREATE TRIGGER aaa BEFORE UPDATE ON @T@ FOR EACH ROW EXECUTE FUNCTION lab.suppress()', 'ALTER TRIGGER aaa ON @T@ RENAME TO "~~~~~~~~"',
	'UPDATE @T@ SET txt = ''suppress'' WHERE (@K@) = (@1@) RETURNING txt',
	'DROP TRIGGER "~~~~~~~~" ON @T@', 'COMMIT']
UNION ALL
SELECT name || ' trigger updates the row again', 1, 2, 0, ARRAY[
	format('CREATE %sTRIGGER again AFTER UPDATE ON @P@ %s FOR EACH ROW EXECUTE FUNCTION lab.again()', what, how),
	'UPDATE @T@ SET txt = ''again @i1@'' WHERE (@K@) = (@1@) RETURNING txt', 'COMMIT', 'DROP TRIGGER again ON @P@']
  FROM (VALUES ('after', '', ''), ('deferred', 'CONSTRAINT ', 'DEFERRABLE INITIALLY DEFERRED')) x(name, what, how)
UNION ALL
SELECT 'after trigger updates the new row', 0, 2, 0, ARRAY[
	'CREATE TRIGGER again AFTER INSERT ON @P@ FOR EACH ROW EXECUTE FUNCTION lab.again()',
	'INSERT INTO @T@ (@K@, txt) VALUES (@5@, ''again @i5@'') RETURNING txt', 'COMMIT', 'DROP TRIGGER again ON @P@']
UNION ALL
SELECT 'before trigger updates another row', NULL, NULL, 0, ARRAY[
	'UPDATE @T@ SET n = 0 WHERE NOT (@K@) IN ((@2@), (@4@))', 'CREATE TRIGGER other BEFORE UPDATE ON @P@ FOR EACH ROW EXECUTE FUNCTION lab.other_row()',
	'UPDATE @T@ SET txt = ''y'' WHERE (@K@) = (@2@) RETURNING txt', 'COMMIT', 'DROP TRIGGER other ON @P@']
UNION ALL
SELECT 'before trigger ' || name || ' updates the same row', 1, 1, 0, ARRAY[
	format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON @P@ FOR EACH ROW WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION lab.touch_same()', name),
	'UPDATE @T@ SET txt = ''unique @i1@'' WHERE false', '?UPDATE @T@ SET txt = ''y'' WHERE (@K@) = (@4@)', '?DELETE FROM @T@ WHERE (@K@) = (@4@)', format('DROP TRIGGER %I ON @P@', name), 'UPDATE @T@ SET txt = ''z'' WHERE (@K@) = (@4@)', 'COMMIT']
  FROM unnest(ARRAY['aaa', '~~~']) name
UNION ALL
SELECT 'transition tables', 2, 2, 0, ARRAY[
	'CREATE TRIGGER summary AFTER UPDATE ON @T@ REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION lab.summary()',
	'UPDATE @T@ SET txt = ''y'' WHERE (@K@) IN ((@1@), (@2@))', 'DROP TRIGGER summary ON @T@', 'COMMIT'];


\set file :srcdir '/lab_run.sql'
\ir :file
