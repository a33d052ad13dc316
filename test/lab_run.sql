/* The second half of a strategy test: tables, every cell on each of them, verdicts, the laws, and all of it out again. */
\set ECHO none
SELECT format('CALL lab.set_up(%L, %L, %L)', shape, strategy, soft)
  FROM unnest(ARRAY['uuid', 'pair', 'part', 'wide']) WITH ORDINALITY s(shape, i),
       (VALUES ('none', false), ('none', true), ('copy_on_change', false), ('copy_on_change', true), ('scd2', false), ('scd2', true)) t(strategy, soft)
 WHERE shape IN ('uuid', 'part') OR strategy <> 'none' AND soft = (strategy = 'scd2')
 ORDER BY i, strategy, soft \gexec
\set ECHO all

\set ECHO none
SELECT format('CALL lab.try(%s, %L)', cell, combo) FROM lab.cells JOIN lab.combos ON only_shape IS NULL OR only_shape = shape ORDER BY cell, combo \gexec
\set ECHO all
SET search_path = public;

SELECT * FROM lab.verdict;

-- what was seen at a moment is what is seen of it now
SELECT count(*) > 100 AS moments, count(*) FILTER (WHERE state <> public.laws_state(format('m_%s.%s', combo, tab)::regclass, at)) AS changed
  FROM lab.moments JOIN lab.combos USING (combo);
SELECT m.combo, l.name, m.state, public.laws_state(format('m_%s.%s', combo, tab)::regclass, at) AS now
  FROM lab.moments m JOIN lab.combos USING (combo) JOIN lab.cells l USING (cell)
 WHERE m.state <> public.laws_state(format('m_%s.%s', combo, tab)::regclass, at) ORDER BY at LIMIT 10;
SELECT * FROM laws_all();

-- before there was management, there was nothing
SELECT count(*) FROM m_uuid_scd2.t_as_of('2020-01-01');
-- every version is there at its beginning, and not before
SELECT count(*) > 20 AS versions, count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM m_uuid_scd2.t_as_of(v.valid_from) a WHERE a.id = v.id AND a.version = v.version)) AS missing,
       count(*) FILTER (WHERE EXISTS (SELECT 1 FROM m_uuid_scd2.t_as_of(v.valid_from - interval '1 microsecond') a WHERE a.id = v.id AND a.version = v.version AND a.created_at = v.created_at)) AS early
  FROM m_uuid_scd2.t_versions v;
SELECT count(*) FILTER (WHERE n <> 1) AS missing FROM (SELECT (SELECT count(*) FROM m_part_scd2.t_between(v.valid_from, v.valid_from) b WHERE b.id = v.id AND b.grp = v.grp) AS n FROM m_part_scd2.t_versions v) x;

-- all of it comes out again
SELECT count(ffs_unmanage(relation, keep_history => false)) > 0 AS unmanaged FROM ffs_tables WHERE relation::text ~ '^m_';
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid::regclass::text ~ '^m_' AND NOT tgisinternal;
SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname ~ '^m_' AND relname ~ '_(history|audit|deleted|versions|with_deleted)$';
SET client_min_messages = error;
\set ECHO none
SELECT format('DROP SCHEMA %s_%s CASCADE', x, combo) FROM lab.combos, unnest(ARRAY['u', 'm']) x \gexec
\set ECHO all
DROP SCHEMA lab CASCADE;
DROP EXTENSION ffstorage;
