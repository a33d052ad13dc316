/*
 * Laws 2 to 4 of the design, checked over whatever ffstorage.managed names:
 * any key, any columns, quoted names, partitioned tables.
 *
 *   laws(relation)   a line for each violation, none where all holds
 *   laws(relation, part, parts)  the same of the keys whose turn it is, part 0 to
 *                    parts - 1: all parts together say what the whole says, and
 *                    none needs room for more than its share (scripts/drill)
 *   laws_all()       the same for every managed table
 *   laws_state(relation)  a digest of the table as it is, outside excluded columns
 *   laws_state(relation, moment)  the same of the table as of that moment
 *
 * Needs a superuser (it reads ffstorage's catalog).  No closing brace may
 * stand in this file: the isolation tests take it in as it is.
 */
CREATE OR REPLACE FUNCTION public.laws(relation regclass, part integer DEFAULT 0, parts integer DEFAULT 1) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off AS $laws$		-- of what these queries join the planner knows little
DECLARE
	m record;
	tab text := relation::text;
	keys text;
	h_keys text;
	d_keys text;
	c_version text;
	c_valid_from text;
	c_xid text;
	c_created_at text;
	c_created_by text;
	c_updated_at text;
	c_updated_by text;
	outside text[];
	stamps text[];
	json_columns text[];
	all_columns text[];
	mine text;
	aof text;
BEGIN
	SELECT * INTO m FROM ffstorage.managed g WHERE g.relation = laws.relation;
	IF NOT FOUND THEN
		RETURN NEXT 'not managed';
		RETURN;
	END IF;

	SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.ord), string_agg('h.' || quote_ident(a.attname), ', ' ORDER BY k.ord),
	       string_agg('d.' || quote_ident(a.attname), ', ' ORDER BY k.ord)
	  INTO keys, h_keys, d_keys
	  FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, ord), pg_attribute a
	 WHERE i.indrelid = laws.relation AND i.indisprimary
	   AND a.attrelid = laws.relation AND a.attnum = k.attnum;

	/* which rows, here and beside the table; without a key the first part takes them all */
	mine := CASE WHEN parts = 1 OR (keys IS NULL AND part = 0) THEN 'true'
		WHEN keys IS NULL THEN 'false'
		ELSE format('mod(hashtext(ROW(%s)::text)::bigint + 2147483648, %s) = %s', keys, parts, part) END;

	c_version := quote_ident(coalesce(m.columns->>'version', 'version'));
	c_valid_from := quote_ident(coalesce(m.columns->>'valid_from', 'valid_from'));
	c_xid := quote_ident(coalesce(m.columns->>'transaction_id', 'transaction_id'));
	c_created_at := coalesce(m.columns->>'created_at', 'created_at');
	c_created_by := coalesce(m.columns->>'created_by', 'created_by');
	c_updated_at := coalesce(m.columns->>'updated_at', 'updated_at');
	c_updated_by := coalesce(m.columns->>'updated_by', 'updated_by');
	outside := m.exclude::text[];
	stamps := CASE WHEN m.stamps THEN ARRAY[c_created_at, c_created_by, c_updated_at, c_updated_by] ELSE ARRAY[]::text[] END;

	/* json can change without a change that jsonb shows */
	SELECT coalesce(array_agg(attname::text) FILTER (WHERE atttypid IN ('json'::regtype, 'jsonb'::regtype)), ARRAY[]::text[]), array_agg(attname::text)
	  INTO json_columns, all_columns
	  FROM pg_attribute WHERE attrelid = laws.relation AND attnum > 0 AND NOT attisdropped;

	/* ---- law 2: versions and lives ---- */
	IF m.strategy = 'scd2' THEN
		IF keys IS NULL OR m.history IS NULL OR m.versions IS NULL OR m.as_of_function IS NULL THEN
			RETURN NEXT 'law 2: scd2 without a key or without what should stand beside it';
			RETURN;
		END IF;
		RETURN QUERY EXECUTE format($q$
			WITH all_versions AS (
				SELECT %1$s, %2$s AS l_v, %3$s AS l_f, %4$s AS l_x, valid_to AS l_t, end_operation AS l_op, ended_by AS l_by, end_transaction_id AS l_ex, false AS l_current FROM %5$s WHERE %8$s
				UNION ALL
				SELECT %1$s, %2$s, %3$s, %4$s, NULL, NULL, NULL, NULL, true FROM %6$s WHERE %8$s),
			w AS (
				SELECT ROW(%1$s)::text AS key, l_v AS v, l_f AS f, l_t AS t, l_x AS x, l_op AS op, l_by AS ended_by, l_ex AS ex, l_current AS current,
				       lag(l_v) OVER life AS pv, lag(l_t) OVER life AS pt, lag(l_op) OVER life AS pop,
				       lead(l_v) OVER life IS NULL AS is_last, row_number() OVER life = 1 AS is_first,
				       count(*) FILTER (WHERE l_current) OVER (PARTITION BY %1$s) AS ncurrent
				  FROM all_versions WINDOW life AS (PARTITION BY %1$s ORDER BY l_f, l_t NULLS LAST))
			SELECT format('law 2: key %%s version %%s: %%s', key, v, what)
			  FROM w, LATERAL (VALUES
				(v IS NULL OR f IS NULL OR x IS NULL, 'a stamp is NULL'),
				(NOT isfinite(f), 'valid_from is not finite'),
				(NOT current AND (t IS NULL OR op IS NULL OR ended_by IS NULL OR ex IS NULL), 'closed, but without saying when, by whom or how'),
				(NOT current AND f >= t, 'its period is empty or backward'),
				(NOT current AND op NOT IN ('update', 'delete', 'truncate', 'restore', 'revert', 'transfer', 'rekey', 'erase'), format('unknown end_operation %%s', op)),
				(is_first AND v <> 1, 'the first life begins later than version 1'),
				(pop IN ('update', 'revert', 'transfer') AND v <> pv + 1, format('follows version %%s', pv)),
				(pop IN ('update', 'revert', 'transfer') AND f <> pt, format('%%s between versions', CASE WHEN f > pt THEN 'gap' ELSE 'overlap' END)),
				(pop NOT IN ('update', 'revert', 'transfer') AND NOT (v = 1 OR %7$L AND (v = pv + 1 OR EXISTS (
					SELECT FROM w AS b WHERE b.key = w.key AND b.f < w.f AND b.op IN ('delete', 'truncate') AND b.v = w.v - 1))), format('neither begins a life nor goes on with one that ended at version %%s by %%s', pv, pop)),
				(pop NOT IN ('update', 'revert', 'transfer') AND f <= pt, 'begins no later than the last life ended'),
				(is_last AND NOT current AND op IN ('update', 'revert', 'transfer'), 'the row is gone, but its last version ends with ' || op),
				(current AND NOT is_last, 'the current version is not the last'),
				(current AND ncurrent <> 1, 'more than one current version')
			  ) AS checks(broken, what)
			 WHERE broken$q$,
			keys, c_version, c_valid_from, c_xid, m.history, tab, m.soft_delete, mine);

		IF m.stamps THEN
			RETURN QUERY EXECUTE format($q$
				WITH all_versions AS (SELECT %1$s, %2$s AS l_v, %3$s AS l_f, %7$I AS l_c, %8$I AS l_cb, %9$I AS l_u FROM %5$s WHERE %10$s
				           UNION ALL SELECT %1$s, %2$s, %3$s, %7$I, %8$I, %9$I FROM %6$s WHERE %10$s),
				w AS (SELECT ROW(%1$s)::text AS key, l_v AS v, l_f AS f, l_c AS c, l_cb AS cb, l_u AS u, ROW(l_v + 1, l_c, l_cb)::text AS next, lag(ROW(l_v + 1, l_c, l_cb)::text) OVER life AS expected
				        FROM all_versions WINDOW life AS (PARTITION BY %1$s ORDER BY l_f))
				SELECT format('law 2: key %%s version %%s: %%s', key, v, what)
				  FROM w, LATERAL (VALUES
					(v > 1 AND ROW(v, c, cb)::text IS DISTINCT FROM expected AND NOT EXISTS (		-- a restored life goes on with an earlier one
						SELECT FROM w AS b WHERE b.key = w.key AND b.f < w.f AND b.next = ROW(w.v, w.c, w.cb)::text), 'created_at or created_by changed within a life'),
					(u IS DISTINCT FROM f, 'updated_at is not valid_from'),
					(c > f, 'created_at is later than valid_from')
				  ) AS checks(broken, what)
				 WHERE broken$q$,
				keys, c_version, c_valid_from, c_xid, m.history, tab, c_created_at, c_created_by, c_updated_at, mine);
		END IF;

		/* ---- law 3: as of infinity, and the view of all versions ---- */
		SELECT format('%I.%I', n.nspname, m.as_of_function) INTO aof
		  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = laws.relation;
		RETURN QUERY EXECUTE format($q$
			(SELECT 'law 3: in the table, not as of infinity: ' || r FROM (SELECT to_jsonb(laws_row)::text FROM %1$s laws_row WHERE %5$s EXCEPT ALL SELECT to_jsonb(laws_row)::text FROM %2$s('infinity') laws_row WHERE %5$s) AS d(r))
			UNION ALL
			(SELECT 'law 3: as of infinity, not in the table: ' || r FROM (SELECT to_jsonb(laws_row)::text FROM %2$s('infinity') laws_row WHERE %5$s EXCEPT ALL SELECT to_jsonb(laws_row)::text FROM %1$s laws_row WHERE %5$s) AS d(r))
			UNION ALL
			(SELECT 'law 3: in the table, not current among versions: ' || r FROM (SELECT to_jsonb(laws_row)::text FROM %1$s laws_row WHERE %5$s EXCEPT ALL
				SELECT (to_jsonb(laws_row) - ARRAY['valid_to', 'end_operation', 'ended_by', 'end_transaction_id', 'is_current'])::text FROM %3$s laws_row WHERE laws_row.is_current AND laws_row.valid_to IS NULL AND %5$s) AS d(r))
			UNION ALL
			SELECT format('law 3: %%s versions, but %%s rows and %%s closed versions', v, t, h)
			  FROM (SELECT count(*) FROM %3$s WHERE %5$s) AS v(v), (SELECT count(*) FROM %1$s WHERE %5$s) AS t(t), (SELECT count(*) FROM %4$s WHERE %5$s) AS h(h)
			 WHERE v <> t + h$q$,
			tab, aof, m.versions, m.history, mine);
	END IF;

	/* ---- law 4: a replay of audit entries gives the table ---- */
	IF m.strategy = 'copy_on_change' THEN
		IF keys IS NULL OR m.audit IS NULL THEN
			RETURN NEXT 'law 4: copy_on_change without a key or without what should stand beside it';
			RETURN;
		END IF;
		RETURN QUERY EXECUTE format($q$
			WITH entries AS (
				SELECT ROW(%1$s)::text AS key, entry_id, operation, field_name, old_value, new_value, changed_at, changed_by, transaction_id,
				       count(*) FILTER (WHERE field_name IS NULL) OVER (PARTITION BY %1$s ORDER BY entry_id) AS life,
				       lag(changed_at) OVER (PARTITION BY %1$s ORDER BY entry_id) AS prev_at,
				       lag(transaction_id) OVER (PARTITION BY %1$s ORDER BY entry_id) AS prev_xid,
				       lag(new_value) OVER (PARTITION BY %1$s, field_name ORDER BY entry_id) AS prev_value,
				       lag(entry_id) OVER (PARTITION BY %1$s, field_name ORDER BY entry_id) AS prev_entry
				  FROM %2$s WHERE %7$s),
			whole AS (
				SELECT *, new_value IS NOT NULL AS begins,
				       lag(new_value IS NOT NULL) OVER (PARTITION BY key ORDER BY entry_id) AS prev_begins,
				       lead(entry_id) OVER (PARTITION BY key ORDER BY entry_id) IS NULL AS is_last
				  FROM entries WHERE field_name IS NULL),
			fields AS (
				SELECT key, life, jsonb_object_agg(field_name, coalesce(new_value, 'null') ORDER BY entry_id) AS set
				  FROM entries WHERE field_name IS NOT NULL GROUP BY key, life),
			lives AS (
				SELECT w.key, w.life, w.begins, w.is_last, w.new_value || coalesce(f.set, jsonb_build_object()) AS state
				  FROM whole w LEFT JOIN fields f USING (key, life)),
			rows AS (
				SELECT ROW(%1$s)::text AS key, to_jsonb(laws_row) AS r FROM %3$s laws_row WHERE %7$s),
			replayed AS (
				SELECT key, to_jsonb(jsonb_populate_record(NULL::%3$s, state)) AS r FROM lives WHERE is_last AND begins)
			SELECT format('law 4: entry %%s of key %%s (%%s): %%s', entry_id, key, operation, what)
			  FROM entries, LATERAL (VALUES
				(field_name IS NOT NULL AND life = 0, 'a field of a row that never began'),
				(field_name IS NOT NULL AND operation NOT IN ('update', 'restore', 'revert', 'transfer'), 'a field, but not a change'),
				(field_name <> ALL (%6$L::text[]) AND old_value::text IS NOT DISTINCT FROM new_value::text, 'nothing changed'),		-- 1.0 and 1.00 are one to jsonb
				(field_name = ANY (%4$L::text[]), 'an excluded field'),
				(changed_at IS NULL OR changed_by IS NULL OR transaction_id IS NULL, 'without saying when, by whom or in which transaction'),
				(changed_at < prev_at, 'earlier than the entry before it'),
				(changed_at = prev_at AND transaction_id <> prev_xid, 'at the same time as another transaction''s entry before it')
			  ) AS checks(broken, what) WHERE broken
			UNION ALL
			SELECT format('law 4: entry %%s of key %%s: old_value of %%s is %%s, was %%s', e.entry_id, e.key, e.field_name, e.old_value, was)
			  FROM entries e JOIN whole w USING (key, life),
			       LATERAL (SELECT CASE WHEN e.prev_entry > w.entry_id THEN e.prev_value ELSE w.new_value->e.field_name::text END) AS b(was)
			 WHERE e.field_name IS NOT NULL AND coalesce(e.old_value, 'null') <> coalesce(was, 'null')
			UNION ALL
			SELECT format('law 4: entry %%s of key %%s (%%s): %%s', entry_id, key, operation, what)
			  FROM whole, LATERAL (VALUES
				(begins AND prev_begins, 'begins a row that has not ended'),
				(NOT begins AND prev_begins IS NOT TRUE, 'ends a row that is not there'),
				(begins AND operation NOT IN ('insert', 'baseline', 'restore', 'rekey'), 'a whole new row'),
				(NOT begins AND operation NOT IN ('delete', 'truncate', 'rekey', 'erase'), 'a whole old row'),
				(NOT begins AND old_value IS NULL, 'neither an old nor a new row'),
				(begins AND old_value IS NOT NULL, 'both an old and a new row')
			  ) AS checks(broken, what) WHERE broken
			UNION ALL
			SELECT format('law 4: key %%s: fields changed after its end', key)
			  FROM whole JOIN fields USING (key, life) WHERE NOT begins
			UNION ALL
			SELECT format('law 4: entry %%s of key %%s (%%s): the row was %%s', w.entry_id, w.key, w.operation, d)
			  FROM whole w JOIN lives l ON l.key = w.key AND l.life = w.life - 1,
			       LATERAL (SELECT jsonb_object_agg(coalesce(a.key, b.key), jsonb_build_array(a.value, b.value))
			                  FROM jsonb_each(l.state - %4$L::text[] - %5$L::text[]) a FULL JOIN jsonb_each(w.old_value - %4$L::text[] - %5$L::text[]) b ON a.key = b.key
			                 WHERE coalesce(a.value, 'null') <> coalesce(b.value, 'null')		-- columns come and go
			                   AND coalesce(a.key, b.key) = ANY (%8$L::text[])) AS x(d)
			 WHERE NOT w.begins AND l.begins AND d IS NOT NULL
			UNION ALL
			SELECT format('law 4: key %%s: %%s', coalesce(p.key, t.key), CASE WHEN p.key IS NULL THEN 'in the table, not in the replay' WHEN t.key IS NULL THEN 'in the replay, not in the table' ELSE 'differs: ' || d::text END)
			  FROM replayed p FULL JOIN rows t ON p.key = t.key,
			       LATERAL (SELECT jsonb_object_agg(coalesce(a.key, b.key), jsonb_build_array(a.value, b.value))
			                  FROM jsonb_each(p.r - %4$L::text[] - %5$L::text[]) a FULL JOIN jsonb_each(t.r - %4$L::text[] - %5$L::text[]) b ON a.key = b.key
			                 WHERE a.value IS DISTINCT FROM b.value) AS x(d)
			 WHERE p.key IS NULL OR t.key IS NULL OR d IS NOT NULL$q$,
			keys, m.audit, tab, outside, stamps, json_columns, mine, all_columns);

		IF m.stamps THEN
			RETURN QUERY EXECUTE format($q$
				WITH entries AS (
					SELECT ROW(%1$s)::text AS key, entry_id, operation, field_name, new_value, changed_at, changed_by,
					       count(*) FILTER (WHERE field_name IS NULL) OVER (PARTITION BY %1$s ORDER BY entry_id) AS life
					  FROM %2$s WHERE %8$s),
				latest AS (SELECT DISTINCT ON (key) * FROM entries ORDER BY key, entry_id DESC),
				first AS (SELECT e.* FROM entries e JOIN latest l USING (key, life) WHERE e.field_name IS NULL)
				SELECT format('law 4: key %%s: %%s', key, what)
				  FROM (SELECT ROW(%1$s)::text AS key, %4$I AS c, %5$I AS cb, %6$I AS u, %7$I AS ub FROM %3$s WHERE %8$s) AS t
				  JOIN latest l USING (key) JOIN first f USING (key), LATERAL (VALUES
					(CASE l.operation WHEN 'baseline' THEN u > l.changed_at ELSE u IS DISTINCT FROM l.changed_at END, 'updated_at is not the time of the last entry'),	-- a table that comes over from another strategy keeps its stamps
					(l.operation <> 'baseline' AND ub IS DISTINCT FROM l.changed_by, 'updated_by is not the actor of the last entry'),
					(CASE f.operation WHEN 'insert' THEN c IS DISTINCT FROM f.changed_at WHEN 'baseline' THEN c > f.changed_at END, 'created_at is not the time of the first entry'),
					(f.operation = 'insert' AND cb IS DISTINCT FROM f.changed_by, 'created_by is not the actor of the first entry')
				  ) AS checks(broken, what) WHERE broken$q$,
				keys, m.audit, tab, c_created_at, c_created_by, c_updated_at, c_updated_by, mine);
		END IF;
	END IF;

	/* ---- deleted rows, and the view over both ---- */
	IF m.soft_delete THEN
		IF m.deleted IS NULL OR m.with_deleted IS NULL THEN
			RETURN NEXT 'soft delete without what should stand beside the table';
			RETURN;
		END IF;
		RETURN QUERY EXECUTE format($q$
			SELECT format('deleted: %%s rows with deleted, but %%s rows and %%s deleted', v, t, d)
			  FROM (SELECT count(*) FROM %1$s WHERE %4$s) AS v(v), (SELECT count(*) FROM %2$s WHERE %4$s) AS t(t), (SELECT count(*) FROM %3$s WHERE %4$s) AS d(d)
			 WHERE v <> t + d
			UNION ALL
			SELECT format('deleted: %%s rows without saying when, by whom or in which transaction', count(*))
			  FROM %3$s WHERE (deleted_at IS NULL OR deleted_by IS NULL OR delete_transaction_id IS NULL) AND %4$s HAVING count(*) > 0$q$,
			m.with_deleted, tab, m.deleted, mine);
		IF m.strategy = 'scd2' THEN
			RETURN QUERY EXECUTE format($q$
				SELECT format('deleted: key %%s deleted at %%s by %%s has no version that ended so', ROW(%1$s)::text, d.deleted_at, d.deleted_by)
				  FROM %2$s d
				 WHERE %9$s
				   AND NOT (d.%8$s = d.delete_transaction_id AND		-- what one transaction made or restored, and deleted, nobody else saw
				            (d.%7$s = 1 OR EXISTS (SELECT 1 FROM %3$s h WHERE (%5$s) = (%6$s) AND h.%7$s = d.%7$s - 1 AND h.end_operation IN ('delete', 'truncate'))))
				   AND NOT EXISTS (SELECT 1 FROM %3$s h WHERE (%5$s) = (%6$s) AND h.%4$s <= d.%4$s
				                      AND h.valid_to = d.deleted_at AND h.ended_by = d.deleted_by AND h.end_transaction_id = d.delete_transaction_id)$q$,
				keys, m.deleted, m.history, c_valid_from, h_keys, d_keys, c_version, c_xid, mine);
		END IF;
	END IF;
END
$laws$;

CREATE OR REPLACE FUNCTION public.laws_all() RETURNS SETOF text
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $laws$
	SELECT m.relation::text || ': ' || l FROM ffstorage.managed m, LATERAL public.laws(m.relation) AS l ORDER BY 1
$laws$;

CREATE OR REPLACE FUNCTION public.laws_state(relation regclass, moment timestamptz DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $laws$
DECLARE
	source text := relation::text;
	outside text[];
	result text;
BEGIN
	SELECT exclude::text[], CASE WHEN moment IS NULL THEN source ELSE format('%I.%I(%L)', n.nspname, m.as_of_function, moment) END
	  INTO outside, source
	  FROM ffstorage.managed m JOIN pg_class c ON c.oid = m.relation JOIN pg_namespace n ON n.oid = c.relnamespace
	 WHERE m.relation = laws_state.relation;
	EXECUTE format('SELECT count(*) || '' '' || coalesce(md5(string_agg(r, chr(10) ORDER BY r)), '''') FROM (SELECT (to_jsonb(laws_row) - $1)::text FROM %s laws_row) AS x(r)', source)
	   INTO result USING outside;
	RETURN result;
END
$laws$;
