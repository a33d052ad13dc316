-- The tenant boundary: who (owner, an ordinary role, one with BYPASSRLS, a
-- superuser) may do what (reads, writes, cascades, references, ffs_ functions)
-- to which tenant's rows, with the right tenant set, a wrong one, none, a list
-- with it, a list without it, or all of them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
CREATE ROLE tn_owner;
CREATE ROLE tn_app;
CREATE ROLE tn_bypass BYPASSRLS;
GRANT pg_execute_server_program TO tn_owner, tn_app, tn_bypass;	-- for COPY from a program
GRANT EXECUTE ON FUNCTION ffs_set_all_tenants() TO tn_owner, tn_app, tn_bypass;

CREATE SCHEMA tn;
CREATE SEQUENCE tn.tried;	-- counts through rollbacks
CREATE TABLE tn.shapes (shape text PRIMARY KEY, type text, strategy text, part text, a text, b text, c text);
INSERT INTO tn.shapes VALUES
	('uuid', 'uuid', 'scd2', 'orders', 'aaaaaaaa-0000-4000-8000-000000000001', 'bbbbbbbb-0000-4000-8000-000000000002', 'cccccccc-0000-4000-8000-000000000003'),
	('text', 'text', 'copy_on_change', 'orders', 'tenant ''A', 'tenant b', 'c'),
	('part', 'integer', 'scd2', 'orders_low', '1', '-2', '3'),
	('mini', 'smallint', 'none', 'orders', '1', '2', '3'),
	('big', 'bigint', 'copy_on_change', 'orders_low', '9000000000000000001', '9000000000000000002', '-3');

CREATE PROCEDURE tn.make(shape text) LANGUAGE plpgsql AS $$
DECLARE
	s record;
BEGIN
	SELECT x.shape, x.type, x.strategy, x.part, quote_literal(a) AS a, quote_literal(b) AS b INTO s FROM tn.shapes x WHERE x.shape = make.shape;
	EXECUTE format('CREATE SCHEMA tn_%s AUTHORIZATION tn_owner', shape);
	EXECUTE format('GRANT USAGE ON SCHEMA tn_%s TO PUBLIC', shape);
	PERFORM set_config('search_path', format('tn_%s, public', shape), true);
	SET LOCAL ROLE tn_owner;
	EXECUTE format('CREATE TABLE parents (id integer PRIMARY KEY, tenant_id %s NOT NULL, label text)', s.type);
	EXECUTE format('CREATE TABLE orders (id integer PRIMARY KEY, v integer, tenant_id %s NOT NULL, parent integer REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE, other integer REFERENCES parents ON DELETE SET NULL) %s',
	               s.type, CASE WHEN s.part <> 'orders' THEN 'PARTITION BY RANGE (id)' END);
	IF s.part <> 'orders' THEN
		EXECUTE format('CREATE TABLE orders_low (tenant_id %s NOT NULL, other integer, gone text, parent integer, v integer, id integer NOT NULL)', s.type);
		ALTER TABLE orders_low DROP COLUMN gone;
		ALTER TABLE orders ATTACH PARTITION orders_low FOR VALUES FROM (MINVALUE) TO (100);
		CREATE TABLE orders_high PARTITION OF orders FOR VALUES FROM (100) TO (MAXVALUE);
	END IF;
	EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA tn_%s TO tn_app, tn_bypass', shape);
	PERFORM ffs_manage('parents', strategy => s.strategy, tenant_column => 'tenant_id');
	PERFORM ffs_manage('orders', strategy => s.strategy, tenant_column => 'tenant_id', soft_delete => true);
	RESET ROLE;
	/* with no tenant set, a superuser may write for all */
	EXECUTE format('INSERT INTO parents VALUES (10, %1$s), (20, %2$s), (30, %1$s), (40, %1$s)', s.a, s.b);
	EXECUTE format('INSERT INTO orders (id, tenant_id, parent, other, v) VALUES (1, %1$s, 10, NULL, 0), (2, %2$s, 20, NULL, 0), (3, %1$s, 30, NULL, 0), (4, %2$s, 10, 40, 0), (5, %1$s, NULL, NULL, 0)', s.a, s.b);
	COMMIT;
	PERFORM set_config('search_path', format('tn_%s, public', shape), true);
	UPDATE orders SET v = 1;
	DELETE FROM orders WHERE id = 5;
END $$;
\set ECHO none
SELECT format('CALL tn.make(%L)', shape) FROM tn.shapes \gexec
\set ECHO all

-- What the statement answers: a number of rows, or an error.  In each array:
-- the right tenant, the wrong one, none, a list with it, a list without it, all.
-- bound: the owner and the ordinary role; free: BYPASSRLS and superusers.
-- E: an error of whichever kind; *: not said.
CREATE TABLE tn.cells (cell serial, name text, statement text, bound text[], free text[], only_strategy text);
INSERT INTO tn.cells (name, statement, bound, free) VALUES
('select', 'SELECT 1 FROM orders WHERE id = 1', '{1,0,0,1,0,1}', '{1,1,1,1,1,1}'),
('select, every row', 'SELECT 1 FROM orders', '{2,2,0,4,2,4}', '{4,4,4,4,4,4}'),
('select for update', 'SELECT 1 FROM orders WHERE id = 1 FOR UPDATE', '{1,0,*,1,0,1}', '{1,*,1,1,*,1}'),
('select from the partition', 'SELECT 1 FROM @P@ WHERE id IN (1, 2)', '{1,1,0,2,1,2}', '{2,2,2,2,2,2}'),
('copy to', 'COPY @P@ TO PROGRAM ''cat >/dev/null''', '{2,2,0,4,2,4}', '{*,*,*,*,*,*}'),
('insert', 'INSERT INTO orders (id, tenant_id, v) VALUES (50, @A@, 1)', '{1,ZF002,ZF001,1,ZF002,1}', '{1,ZF002,1,1,ZF002,1}'),
('insert returning', 'INSERT INTO orders (id, tenant_id, v) VALUES (50, @A@, 1) RETURNING id', '{1,ZF002,ZF001,1,ZF002,1}', '{1,ZF002,1,1,ZF002,1}'),
('insert select', 'INSERT INTO orders (id, tenant_id, v) SELECT id + 50, tenant_id, v FROM orders', '{2,2,ZF001,4,2,4}', '{ZF002,ZF002,4,4,ZF002,4}'),
('insert into the partition', 'INSERT INTO @P@ (id, tenant_id, v) VALUES (50, @A@, 1)', '{1,ZF002,ZF001,1,ZF002,1}', '{1,ZF002,1,1,ZF002,1}'),
('insert, tenant left out', 'INSERT INTO orders (id, v) VALUES (50, 1)', '{1,1,ZF001,E,E,E}', '{1,1,E,E,E,E}'),
('insert, tenant NULL', 'INSERT INTO orders (id, tenant_id) VALUES (50, NULL)', '{*,*,ZF001,E,E,E}', '{*,*,E,E,E,E}'),
('insert, tenant left out, what it became', 'WITH i AS (INSERT INTO orders (id, v) VALUES (50, 1) RETURNING tenant_id) SELECT 1 FROM i WHERE tenant_id = @A@', '{1,0,ZF001,E,E,E}', '{1,0,E,E,E,E}'),
('insert of two tenants', 'INSERT INTO orders (id, tenant_id) VALUES (50, @A@), (51, @B@)', '{ZF002,ZF002,ZF001,2,ZF002,2}', '{ZF002,ZF002,2,2,ZF002,2}'),
('update', 'UPDATE orders SET v = 7 WHERE id = 1', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('update, every row', 'UPDATE orders SET v = v + 1', '{2,2,ZF001,4,2,4}', '{ZF002,ZF002,4,4,ZF002,4}'),
('update without change', 'UPDATE orders SET v = v WHERE id = 1', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('update of no row', 'UPDATE orders SET v = v WHERE id = 99', '{0,0,ZF001,0,0,0}', '{0,0,0,0,0,0}'),
('update of the partition', 'UPDATE @P@ SET v = 7 WHERE id = 1', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('update from', 'UPDATE orders o SET v = p.id FROM parents p WHERE p.id = o.parent AND o.id = 1', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('update of the key', 'UPDATE orders SET id = 60 WHERE id = 1', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('update into another partition', 'UPDATE orders SET id = 160 WHERE id = 1', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('update of the tenant', 'UPDATE orders SET tenant_id = @B@ WHERE id = 3', '{ZF002,0,ZF001,*,0,*}', '{ZF002,ZF002,*,*,ZF002,*}'),
('update to the tenant', 'UPDATE orders SET tenant_id = @A@ WHERE id = 2', '{0,ZF002,ZF001,*,ZF002,*}', '{ZF002,ZF002,*,*,ZF002,*}'),
('delete', 'DELETE FROM orders WHERE id = 1', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('delete of the partition''s', 'DELETE FROM @P@ WHERE id = 1 RETURNING id', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('delete, every row', 'DELETE FROM orders', '{2,2,ZF001,4,2,4}', '{ZF002,ZF002,4,4,ZF002,4}'),
('delete in a CTE', 'WITH d AS (DELETE FROM orders WHERE id = 1 RETURNING 1) SELECT * FROM d', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('merge', 'MERGE INTO orders o USING (VALUES (1)) n(id) ON o.id = n.id WHEN MATCHED THEN UPDATE SET v = 8 WHEN NOT MATCHED THEN INSERT (id, tenant_id) VALUES (n.id + 50, @A@)', '{1,ZF002,ZF001,1,ZF002,1}', '{1,ZF002,1,1,ZF002,1}'),
('merge deletes', 'MERGE INTO orders o USING (VALUES (1)) n(id) ON o.id = n.id WHEN MATCHED THEN DELETE', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('merge inserts', 'MERGE INTO orders o USING (VALUES (50)) n(id) ON o.id = n.id WHEN NOT MATCHED THEN INSERT (id, tenant_id) VALUES (n.id, @A@)', '{1,ZF002,ZF001,1,ZF002,1}', '{1,ZF002,1,1,ZF002,1}'),
('copy', 'COPY orders (id, tenant_id) FROM PROGRAM ''echo "50,@Acsv@"'' (FORMAT csv)', '{0A000,0A000,0A000,0A000,0A000,0A000}', '{1,ZF002,1,1,ZF002,1}'),
('copy, tenant left out', 'COPY orders (id, v) FROM PROGRAM ''echo "50,1"'' (FORMAT csv)', '{0A000,0A000,0A000,0A000,0A000,0A000}', '{1,1,E,E,E,E}'),
('on conflict do update', 'INSERT INTO orders (id, tenant_id, v) VALUES (1, @A@, 1) ON CONFLICT (id) DO UPDATE SET v = 9', '{1,ZF002,ZF001,1,ZF002,1}', '{1,ZF002,1,1,ZF002,1}'),
('on conflict do update, another''s row', 'INSERT INTO orders (id, tenant_id, v) VALUES (2, @A@, 1) ON CONFLICT (id) DO UPDATE SET v = 9', '{ZF002,ZF002,ZF001,1,ZF002,1}', '{ZF002,ZF002,1,1,ZF002,1}'),
('on conflict do nothing, another''s row', 'INSERT INTO orders (id, tenant_id, v) VALUES (2, @A@, 1) ON CONFLICT DO NOTHING', '{0,ZF002,ZF001,0,ZF002,0}', '{0,ZF002,0,0,ZF002,0}'),
('truncate', 'TRUNCATE orders', '{ZF002,ZF002,ZF001,ZF002,ZF002,0}', '{ZF002,ZF002,0,ZF002,ZF002,0}'),
('truncate of the partition', 'TRUNCATE @P@', '{ZF002,ZF002,ZF001,ZF002,ZF002,0}', '{ZF002,ZF002,0,ZF002,ZF002,0}'),
('truncate cascade', 'TRUNCATE parents CASCADE', '{ZF002,ZF002,ZF001,ZF002,ZF002,0}', '{ZF002,ZF002,0,ZF002,ZF002,0}'),
('cascade', 'DELETE FROM parents WHERE id = 30', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('cascade into another''s child', 'DELETE FROM parents WHERE id = 10', '{ZF002,0,ZF001,1,0,1}', '{ZF002,ZF002,1,1,ZF002,1}'),
('set null in another''s child', 'DELETE FROM parents WHERE id = 40', '{ZF002,0,ZF001,1,0,1}', '{ZF002,ZF002,1,1,ZF002,1}'),
('update cascades', 'UPDATE parents SET id = 31 WHERE id = 30', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('update cascades into another''s child', 'UPDATE parents SET id = 11 WHERE id = 10', '{ZF002,0,ZF001,1,0,1}', '{ZF002,ZF002,1,1,ZF002,1}'),
('reference to one''s own parent', 'INSERT INTO orders (id, tenant_id, parent) VALUES (50, @A@, 30)', '{1,ZF002,ZF001,1,ZF002,1}', '{1,ZF002,1,1,ZF002,1}'),
('reference to another''s parent', 'INSERT INTO orders (id, tenant_id, parent) VALUES (50, @B@, 30)', '{ZF002,ZF002,ZF001,*,ZF002,*}', '{ZF002,ZF002,1,*,ZF002,*}'),
('update refers to another''s parent', 'UPDATE orders SET other = 30 WHERE id = 2', '{0,ZF002,ZF001,*,ZF002,*}', '{ZF002,ZF002,1,*,ZF002,*}'),
('reference to no parent', 'INSERT INTO orders (id, tenant_id, parent) VALUES (50, @A@, 77)', '{23503,ZF002,ZF001,23503,ZF002,23503}', '{23503,ZF002,23503,23503,ZF002,23503}'),
('ffs_get', 'SELECT 1 FROM ffs_get(NULL::orders, 1) g WHERE id IS NOT NULL', '{1,0,0,1,0,1}', '{1,1,1,1,1,1}'),
('ffs_get_many', 'SELECT 1 FROM ffs_get_many(NULL::orders, ARRAY[1, 2, 99]) g WHERE id IS NOT NULL', '{1,1,0,2,1,2}', '{2,2,2,2,2,2}'),
('ffs_create', 'SELECT ffs_create(''orders'', jsonb_build_object(''id'', 50, ''tenant_id'', @A@))', '{1,ZF002,ZF001,1,ZF002,1}', '{1,ZF002,1,1,ZF002,1}'),
('ffs_create, tenant left out', 'SELECT ffs_create(''orders'', jsonb_build_object(''id'', 50))', '{1,1,ZF001,E,E,E}', '{1,1,E,E,E,E}'),
('ffs_create_many', 'SELECT 1 FROM ffs_create_many(''orders'', jsonb_build_array(jsonb_build_object(''id'', 50, ''tenant_id'', @A@))) WHERE action = ''inserted''', '{1,ZF002|ZF050,ZF001|ZF050,1,ZF002|ZF050,1}', '{1,ZF002|ZF050,1,1,ZF002|ZF050,1}'),
('ffs_create_many, reporting', 'SELECT 1 FROM ffs_create_many(''orders'', jsonb_build_array(jsonb_build_object(''id'', 50, ''tenant_id'', @A@), jsonb_build_object(''id'', 51, ''tenant_id'', @B@)), on_error => ''report'') WHERE action = ''inserted''', '{1,1,0|ZF001,2,1,2}', '{1,1,2,2,1,2}'),
('ffs_create_many, update', 'SELECT 1 FROM ffs_create_many(''orders'', jsonb_build_array(jsonb_build_object(''id'', 2, ''tenant_id'', @A@, ''v'', 3)), on_conflict => ''update'') WHERE action = ''updated''', '{ZF002|ZF050,ZF002|ZF050,ZF001|ZF050,*,ZF002|ZF050,*}', '{ZF002|ZF050,ZF002|ZF050,*,*,ZF002|ZF050,*}'),
('ffs_update', 'SELECT ffs_update(''orders'', ''{"id": 1, "v": 5}'')', '{1,ZF011,ZF001,1,ZF011,1}', '{1,ZF002,1,1,ZF002,1}'),
('ffs_delete', 'SELECT 1 WHERE ffs_delete(''orders'', 1)', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('ffs_restore', 'SELECT 1 WHERE ffs_restore(''orders'', 5)', '{1,0,ZF001,1,0,1}', '{1,ZF002,1,1,ZF002,1}'),
('ffs_update_many', 'SELECT 1 FROM ffs_update_many(''orders'', jsonb_build_array(jsonb_build_object(''id'', 1, ''v'', 5), jsonb_build_object(''id'', 2, ''v'', 5)), ''report'') WHERE action = ''updated''', '{1,1,ZF001,2,1,2}', '{1,1,2,2,1,2}'),
('ffs_delete_many', 'SELECT 1 FROM ffs_delete_many(''orders'', jsonb_build_array(1), ''report'') WHERE action = ''deleted''', '{1,0,ZF001,1,0,1}', '{1,0,1,1,0,1}'),
('ffs_restore_many', 'SELECT 1 FROM ffs_restore_many(''orders'', jsonb_build_array(5), ''report'') WHERE action = ''restored''', '{1,0,ZF001,1,0,1}', '{1,0,1,1,0,1}'),
('ffs_list', 'SELECT 1 FROM ffs_list(NULL::orders, jsonb_build_object(''id'', jsonb_build_object(''in'', jsonb_build_array(1, 2, 99))))', '{1,1,0,2,1,2}', '{2,2,2,2,2,2}'),
('ffs_count', 'SELECT 1 FROM generate_series(1, ffs_count(''orders'', jsonb_build_object(''id'', jsonb_build_object(''in'', jsonb_build_array(1, 2, 99)))))', '{1,1,0,2,1,2}', '{2,2,2,2,2,2}'),
('deleted', 'SELECT 1 FROM orders_deleted', '{1,0,0,1,0,1}', '{1,1,1,1,1,1}'),
('with deleted', 'SELECT 1 FROM orders_with_deleted', '{3,2,0,5,2,5}', '{5,5,5,5,5,5}');
INSERT INTO tn.cells (name, statement, bound, free, only_strategy) VALUES
('history', 'SELECT 1 FROM orders_history WHERE id = 1', '{1,0,0,1,0,1}', '{1,1,1,1,1,1}', 'scd2'),
('versions', 'SELECT 1 FROM orders_versions WHERE id = 1', '{2,0,0,2,0,2}', '{2,2,2,2,2,2}', 'scd2'),
('as of', 'SELECT 1 FROM orders_as_of(''infinity'')', '{2,2,0,4,2,4}', '{4,4,4,4,4,4}', 'scd2'),
('between', 'SELECT 1 FROM orders_between(''-infinity'', ''infinity'') WHERE id = 1', '{2,0,0,2,0,2}', '{2,2,2,2,2,2}', 'scd2'),
('audit', 'SELECT 1 FROM orders_audit WHERE id = 1', '{2,0,0,2,0,2}', '{2,2,2,2,2,2}', 'copy_on_change'),
('ffs_history', 'SELECT 1 WHERE EXISTS (SELECT FROM ffs_history(''orders'', 1))', '{1,0,0,1,0,1}', '{1,1,1,1,1,1}', 'scd2'),
('ffs_history, audited', 'SELECT 1 WHERE EXISTS (SELECT FROM ffs_history(''orders'', 1))', '{1,0,0,1,0,1}', '{1,1,1,1,1,1}', 'copy_on_change'),
('ffs_row_at', 'SELECT 1 FROM ffs_row_at(NULL::orders, clock_timestamp(), 1) g WHERE id IS NOT NULL', '{1,0,0,1,0,1}', '{1,1,1,1,1,1}', 'scd2'),
('ffs_row_at, audited', 'SELECT 1 FROM ffs_row_at(NULL::orders, clock_timestamp(), 1) g WHERE id IS NOT NULL', '{1,0,0,1,0,1}', '{1,1,1,1,1,1}', 'copy_on_change');

CREATE FUNCTION tn.try(what text, wanted text, statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n bigint := 0;
	answer text;
	message text := '';
	hint text := 'none';
	detail text := 'none';
BEGIN
	PERFORM nextval('tn.tried');
	BEGIN
		IF statement ~* '^\s*(select|with)|returning' THEN
			FOR r IN EXECUTE statement LOOP n := n + 1; END LOOP;
		ELSE
			EXECUTE statement;
			GET DIAGNOSTICS n = ROW_COUNT;
		END IF;
		answer := n;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS answer = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
	END;
	IF wanted <> '*' AND answer !~ ('^(' || CASE wanted WHEN 'E' THEN 'ZF001|ZF002|23502|ZF050' ELSE wanted END || ')$') THEN
		RETURN NEXT format('%s: wanted %s, got %s %s', what, wanted, answer, message);
	END IF;
	IF answer ~ '^ZF' AND (hint = '' OR detail = '') THEN
		RETURN NEXT format('%s: without hint or detail: %s %s', what, answer, message);
	END IF;
	IF answer ~ '^XX' THEN
		RETURN NEXT format('%s: internal error: %s %s', what, answer, message);
	END IF;
END $$;
GRANT USAGE ON SCHEMA tn TO PUBLIC;
GRANT USAGE ON SEQUENCE tn.tried TO PUBLIC;

-- Nothing but what differs is shown.
\pset tuples_only on
\pset format unaligned
\set ECHO none
SELECT 'BEGIN', format('SET LOCAL search_path = tn_%s, public', shape),
       CASE WHEN role <> 'superuser' THEN format('SET LOCAL ROLE tn_%s', role) ELSE 'SET LOCAL ROLE NONE' END,
       format('DO $d$ BEGIN PERFORM %s; END $d$', replace(replace(replace(context, '@A@', quote_literal(a)), '@B@', quote_literal(b)), '@C@', quote_literal(c))),
       format('SELECT * FROM tn.try(%L, %L, %L)', concat_ws(' / ', shape, role, context, name), (CASE WHEN role IN ('bypass', 'superuser') THEN free ELSE bound END)[i],
              replace(replace(replace(replace(statement, '@P@', part), '@Acsv@', replace(a, '''', '''''')), '@A@', quote_literal(a) || '::' || type), '@B@', quote_literal(b) || '::' || type)),
       'ROLLBACK'
  FROM tn.shapes, unnest(ARRAY['owner', 'app', 'bypass', 'superuser']) WITH ORDINALITY r(role, j),
       unnest(ARRAY['ffs_set_tenant(@A@)', 'ffs_set_tenant(@B@)', '1', 'ffs_set_tenants(ARRAY[@A@, @B@])', 'ffs_set_tenants(ARRAY[@B@, @C@])', 'ffs_set_all_tenants()']) WITH ORDINALITY x(context, i),
       tn.cells
 WHERE only_strategy IS NULL OR only_strategy = strategy
 ORDER BY shape, cell, i, j \gexec
\set ECHO all
\pset tuples_only off
\pset format aligned
SELECT last_value > 5000 AS tried FROM tn.tried;

-- A boundary that cannot be crossed by words: the tenant is set once.
SET search_path = tn_uuid, public;
SET ROLE tn_app;
BEGIN;
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001');
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001');
SELECT count(*) FROM orders;
SELECT count(*) FROM orders WHERE id = 1 OR (SELECT ffs_set_tenant('bbbbbbbb-0000-4000-8000-000000000002')) IS NOT NULL;
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001');
ROLLBACK TO a;
SELECT ffs_tenant(), ffs_tenants();
SELECT ffs_set_tenant('bbbbbbbb-0000-4000-8000-000000000002');
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001');
SELECT ffs_set_tenants('{aaaaaaaa-0000-4000-8000-000000000001,bbbbbbbb-0000-4000-8000-000000000002}');
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001');
SELECT ffs_set_all_tenants();
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant(NULL);
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant('');
ROLLBACK;
BEGIN;
SELECT ffs_set_tenants('{}');
ROLLBACK;
BEGIN;
SELECT ffs_set_tenants(ARRAY['aaaaaaaa-0000-4000-8000-000000000001', NULL]);
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001', 'forever');
ROLLBACK;
-- a tenant that the column's type cannot hold sees nothing and writes nothing
BEGIN;
SELECT ffs_set_tenant('not a uuid');
SELECT count(*) FROM orders;
INSERT INTO orders (id) VALUES (70);
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant('99999999999999999999');
SELECT count(*) FROM tn_mini.orders;
SELECT count(*) FROM tn_big.orders;
ROLLBACK;
-- the transaction's end is the tenant's end; outside a block it is gone at once
BEGIN;
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001');
COMMIT;
SELECT ffs_tenant() IS NULL AS none, count(*) FROM orders;
SET client_min_messages = notice;
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001');
SET client_min_messages = warning;
SELECT ffs_tenant() IS NULL AS none, count(*) FROM orders;
-- a session's tenant, from the next transaction on
BEGIN;
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001', 'session');
SELECT ffs_tenant() IS NULL AS none, count(*) FROM orders;
COMMIT;
SELECT ffs_tenant(), count(*) FROM orders;
BEGIN;
SELECT ffs_set_tenant('bbbbbbbb-0000-4000-8000-000000000002');
ROLLBACK;
RESET ALL;
SET search_path = tn_uuid, public;
SET client_min_messages = warning;
SELECT ffs_tenant() IS NULL AS none, count(*) FROM orders;
SELECT ffs_set_tenant('bbbbbbbb-0000-4000-8000-000000000002', 'session');
SELECT ffs_tenant(), count(*) FROM orders;
DISCARD ALL;
SET search_path = tn_uuid, public;
SET client_min_messages = warning;
SET ROLE tn_app;
SELECT ffs_tenant() IS NULL AS none, count(*) FROM orders;
-- a prepared query sees the tenant of the transaction that runs it
PREPARE mine AS SELECT id FROM orders ORDER BY id;
SET plan_cache_mode = force_generic_plan;
BEGIN; SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001'); EXECUTE mine; COMMIT;
BEGIN; SELECT ffs_set_tenant('bbbbbbbb-0000-4000-8000-000000000002'); EXECUTE mine; COMMIT;
BEGIN; SELECT ffs_set_tenants('{bbbbbbbb-0000-4000-8000-000000000002,aaaaaaaa-0000-4000-8000-000000000001}'); EXECUTE mine; COMMIT;
EXECUTE mine;
BEGIN; SELECT ffs_set_all_tenants(); EXECUTE mine; COMMIT;
EXECUTE mine;
-- inside functions, and after their errors
BEGIN;
DO $$ BEGIN
	PERFORM ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001');
	PERFORM 1/0;
EXCEPTION WHEN division_by_zero THEN NULL;
END $$;
SELECT ffs_tenant(), count(*) FROM orders;
ROLLBACK;
-- leaky functions and operators do not see what the policy hides
CREATE FUNCTION pg_temp.leak(integer) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'leaked %', $1; RETURN true; END $$;
BEGIN;
SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001');
SET LOCAL client_min_messages = notice;
SELECT id FROM orders WHERE pg_temp.leak(id) ORDER BY id;
SELECT DISTINCT id FROM orders_versions WHERE pg_temp.leak(id) ORDER BY id;
SELECT id FROM orders_as_of('infinity') WHERE pg_temp.leak(id) ORDER BY id;
SELECT id FROM orders_with_deleted WHERE pg_temp.leak(id) ORDER BY id;
ROLLBACK;
DROP FUNCTION pg_temp.leak(integer);
-- nor may a role that was not granted it ask for all of them
RESET ROLE;
REVOKE EXECUTE ON FUNCTION ffs_set_all_tenants() FROM tn_owner, tn_app, tn_bypass;
SET ROLE tn_app;
BEGIN;
SELECT ffs_set_all_tenants();
ROLLBACK;
RESET ROLE;
-- in parallel workers too
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT count(set_config(name, 'on', false)) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET ROLE tn_app;
BEGIN; SELECT ffs_set_tenant('aaaaaaaa-0000-4000-8000-000000000001'); SELECT count(*), ffs_tenant() FROM orders; COMMIT;
BEGIN; SELECT ffs_set_tenants('{aaaaaaaa-0000-4000-8000-000000000001,bbbbbbbb-0000-4000-8000-000000000002}'); SELECT count(*) FROM orders; SELECT count(*) FROM orders_as_of('infinity'); COMMIT;
SELECT count(*) FROM orders;
RESET ROLE;
SELECT count(set_config(name, 'off', false)) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;

RESET search_path;
SELECT count(ffs_unmanage(relation, keep_history => false)) FROM ffs_tables WHERE relation::text ~ '^tn_';
-- row-level security is as it was found
SELECT DISTINCT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relnamespace::regnamespace::text ~ '^tn_' AND relkind IN ('r', 'p');
SELECT count(*) FROM pg_policies WHERE schemaname ~ '^tn_';
SET client_min_messages = error;
\set ECHO none
SELECT format('DROP SCHEMA tn_%s CASCADE', shape) FROM tn.shapes \gexec
\set ECHO all
DROP SCHEMA tn CASCADE;
DROP ROLE tn_owner, tn_app, tn_bypass;
