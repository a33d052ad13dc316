-- The transaction's tenant, the policy, and the checks of writes.
-- The tables here are given their policies by hand, without triggers.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
\set VERBOSITY default
\set a '00000000-0000-0000-0000-00000000000a'
\set b '00000000-0000-0000-0000-00000000000b'
\set c '00000000-0000-0000-0000-00000000000c'
CREATE ROLE regress_tenancy_app;
CREATE ROLE regress_tenancy_admin;
CREATE SCHEMA tenancy_test;
GRANT USAGE ON SCHEMA tenancy_test TO PUBLIC;
SET search_path = tenancy_test, public;
CREATE PROCEDURE guard(relation regclass, tenant_column name, type text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE POLICY ffstorage_open ON %s USING (ffstorage.any_row())', relation);
    EXECUTE format('CREATE POLICY ffstorage_tenant ON %s AS RESTRICTIVE USING (%I = (SELECT ffstorage.tenant_%s())) WITH CHECK (ffstorage.check_tenant(%L::regclass, %2$I))',
                   relation, tenant_column, type, relation);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', relation);
    EXECUTE format('GRANT ALL ON %s TO regress_tenancy_app, regress_tenancy_admin', relation);
END $$;

CREATE TABLE docs (id integer PRIMARY KEY, tenant_id uuid NOT NULL DEFAULT ffstorage.tenant_uuid(), v integer);
INSERT INTO docs SELECT g, (ARRAY[:'a', :'b', :'c']::uuid[])[g % 3 + 1], g FROM generate_series(1, 30) g;
CALL guard('docs', 'tenant_id', 'uuid');
CREATE TABLE plain AS SELECT id FROM docs;
GRANT SELECT ON plain TO PUBLIC;
CREATE VIEW docs_view WITH (security_invoker = true) AS SELECT * FROM docs;
CREATE FUNCTION docs_above(integer) RETURNS SETOF docs LANGUAGE sql STABLE
    AS 'SELECT * FROM tenancy_test.docs WHERE v > $1';
GRANT ALL ON docs_view TO regress_tenancy_app, regress_tenancy_admin;
GRANT EXECUTE ON FUNCTION ffs_set_all_tenants() TO regress_tenancy_admin;

-- how the functions are marked: an immutable one would freeze a tenant into a plan
SELECT p.oid::regprocedure, provolatile, proparallel, proisstrict, prosecdef, has_function_privilege('public', p.oid, 'EXECUTE') AS public
FROM pg_proc p WHERE proname ~ '^(ffs_set_tenants?|ffs_set_all_tenants|ffs_tenants?|tenants?_(uuid|text|int.)|all_tenants|check_tenant|any_row)$'
ORDER BY p.oid::regprocedure::text COLLATE "C";

SET ROLE regress_tenancy_app;

-- none set: nothing is seen, nothing can be written
SELECT ffs_tenant(), ffs_tenants();
SELECT count(*) FROM docs;
UPDATE docs SET v = 0;
INSERT INTO docs VALUES (100, :'a', 1);
INSERT INTO docs (id) VALUES (100);

-- outside a block it holds for the statement; functions and DO are blocks of their own
SELECT ffs_set_tenant(:'a'), ffs_tenant();
SELECT ffs_tenant();
DO $$ BEGIN PERFORM ffs_set_tenant('00000000-0000-0000-0000-00000000000a'); ASSERT (SELECT count(*) FROM tenancy_test.docs) = 10; END $$;
SELECT ffs_set_tenant(:'a')\; SELECT count(*) FROM docs;

-- what cannot be a tenant
SELECT ffs_set_tenant(NULL);
SELECT ffs_set_tenant('');
SELECT ffs_set_tenant('x', 'forever');
SELECT ffs_set_tenant('x', NULL);
SELECT ffs_set_tenants(NULL);
SELECT ffs_set_tenants('{}');
SELECT ffs_set_tenants('{a,NULL}');
SELECT ffs_set_tenants('{a,""}');
SELECT ffs_set_tenants('{{a,b},{c,d}}');

-- the first is final, across savepoints and errors
BEGIN;
SAVEPOINT before;
SELECT ffs_set_tenant(:'a');
SELECT ffs_set_tenant(:'a');
SAVEPOINT s;
SELECT ffs_set_tenant(:'b');
ROLLBACK TO s;
SELECT ffs_set_tenants(ARRAY[:'a', :'b']);
ROLLBACK TO before;
SELECT ffs_tenant(), ffs_tenants();
SELECT ffs_set_tenant(:'b');
ROLLBACK TO before;
SELECT ffs_set_tenants(ARRAY[:'a', :'a']);
SELECT count(*), count(DISTINCT tenant_id) FROM docs;
COMMIT;
SELECT ffs_tenant();

-- injected SQL cannot change it: no setting holds it
BEGIN;
SELECT ffs_set_tenant(:'a');
SELECT count(*) FROM docs WHERE v = -1 OR (SELECT set_config('ffstorage.tenant', 'b', true)) IS NOT NULL;
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant(:'a');
SELECT count(*) FROM docs WHERE v = -1 OR (SELECT set_config('ffstorage.session_tenant', 'b', false)) IS NOT NULL;
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant(:'a');
SELECT count(*) FROM docs WHERE v = -1 OR (SELECT ffs_set_tenant('00000000-0000-0000-0000-00000000000b')) IS NOT NULL;
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant(:'a');
RESET ALL;
SET search_path = tenancy_test, public;
SELECT ffs_tenant();
SELECT ffs_set_tenant(:'b');
ROLLBACK;
SET ffstorage.session_tenant = 'b';
SELECT ffs_tenant();
CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql SET ffstorage.session_tenant = 'b' AS 'SELECT 1';

-- a session's tenant: from the next transaction on
SELECT ffs_set_tenant(:'a', 'session'), ffs_tenant();
SELECT ffs_tenant(), count(*) FROM docs;
SHOW ffstorage.session_tenant;
SELECT ffs_set_tenant(:'a');
SELECT ffs_set_tenant(:'b');
BEGIN;
SELECT ffs_set_tenant(:'b', 'session');
SELECT ffs_tenant();
ROLLBACK;
SELECT ffs_tenant();
BEGIN;
SAVEPOINT s;
SELECT ffs_set_tenant(:'c', 'session');
ROLLBACK TO s;
SELECT ffs_set_tenant(:'b', 'session');
COMMIT;
SELECT ffs_tenant();
BEGIN;
RESET ALL;
SELECT ffs_tenant();
SELECT ffs_set_tenant(:'c');
COMMIT;
SELECT ffs_tenant();
SELECT ffs_set_tenant(:'b', 'session');
DISCARD ALL;
SELECT ffs_tenant();
SET search_path = tenancy_test, public;
SET client_min_messages = warning;
SET ROLE regress_tenancy_app;

-- writes
BEGIN;
SELECT ffs_set_tenant(:'a');
INSERT INTO docs (id, v) VALUES (100, 1) RETURNING *;
SAVEPOINT s;
INSERT INTO docs VALUES (101, :'b', 1);
ROLLBACK TO s;
UPDATE docs SET tenant_id = :'b' WHERE id = 3;
ROLLBACK TO s;
UPDATE docs SET v = 0 WHERE id = 1;
DELETE FROM docs WHERE id = 1;
-- a row of another tenant met by its key
INSERT INTO docs VALUES (3, DEFAULT, 7) ON CONFLICT (id) DO UPDATE SET v = 7 WHERE docs.v = 3 RETURNING v;
INSERT INTO docs VALUES (1, DEFAULT, 7) ON CONFLICT (id) DO UPDATE SET v = 7;
ROLLBACK TO s;
INSERT INTO docs VALUES (1, DEFAULT, 7) ON CONFLICT (id) DO UPDATE SET v = 7 RETURNING *;
ROLLBACK TO s;
WITH w AS (INSERT INTO docs_view VALUES (1, :'a', 7) ON CONFLICT (id) DO UPDATE SET v = 7 RETURNING *) SELECT * FROM w;
ROLLBACK TO s;
-- not even its WHERE sees that row
CREATE FUNCTION pg_temp.peek(integer) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE WARNING 'seen: %', $1; RETURN false; END $$;
INSERT INTO docs VALUES (1, DEFAULT, 7) ON CONFLICT (id) DO UPDATE SET v = 7 WHERE pg_temp.peek(docs.v);
ROLLBACK TO s;
PREPARE upsert(integer) AS INSERT INTO docs VALUES ($1, DEFAULT, 7) ON CONFLICT (id) DO UPDATE SET v = 8 RETURNING v;
SET LOCAL plan_cache_mode = force_generic_plan;
EXECUTE upsert(6);
EXECUTE upsert(1);
ROLLBACK TO s;
MERGE INTO docs USING (VALUES (3), (200)) n(id) ON n.id = docs.id
    WHEN MATCHED THEN UPDATE SET v = -3 WHEN NOT MATCHED THEN INSERT VALUES (n.id, DEFAULT, -1);
SELECT * FROM docs WHERE v < 0 ORDER BY id;
SAVEPOINT s;
MERGE INTO docs USING (VALUES (3)) n(id) ON n.id = docs.id WHEN MATCHED THEN UPDATE SET tenant_id = :'b';
ROLLBACK TO s;
MERGE INTO docs USING (VALUES (201)) n(id) ON n.id = docs.id WHEN NOT MATCHED THEN INSERT VALUES (n.id, :'b', -1);
ROLLBACK;
DEALLOCATE upsert;

-- several tenants: reads see all, writes name one
PREPARE count_docs AS SELECT count(*), count(DISTINCT tenant_id) FROM docs;
BEGIN;
SELECT ffs_set_tenants(ARRAY[:'b', :'a', :'a']);
SELECT ffs_tenant(), ffs_tenants();
SELECT ffs_set_tenants(ARRAY[:'a', :'b']);
EXECUTE count_docs;
SELECT count(*), count(DISTINCT tenant_id) FROM docs_view;
SELECT count(*), count(DISTINCT tenant_id) FROM docs_above(0);
SELECT count(*), count(DISTINCT d.tenant_id) FROM docs d JOIN LATERAL docs_above(d.v - 1) x ON x.id = d.id WHERE EXISTS (SELECT FROM docs e WHERE e.id = d.id);
WITH w AS MATERIALIZED (SELECT * FROM docs) SELECT count(*), (SELECT count(*) FROM docs) FROM w;
DO $$ BEGIN ASSERT (SELECT count(*) FROM tenancy_test.docs) = 20; END $$;
UPDATE docs SET v = v + 1;
INSERT INTO docs VALUES (100, :'a', 1) ON CONFLICT (id) DO UPDATE SET v = 0;
INSERT INTO docs VALUES (100, :'a', 1) ON CONFLICT (id) DO UPDATE SET tenant_id = :'b' RETURNING *;
SAVEPOINT s;
INSERT INTO docs (id) VALUES (101);
ROLLBACK TO s;
INSERT INTO docs VALUES (101, :'c', 1);
ROLLBACK;
EXECUTE count_docs;

-- all: for those who may
BEGIN;
SELECT ffs_set_all_tenants();
ROLLBACK;
SET ROLE regress_tenancy_admin;
BEGIN;
SELECT ffs_set_all_tenants();
SELECT ffs_set_all_tenants();
SELECT ffs_tenant(), ffs_tenants();
EXECUTE count_docs;
SELECT count(*), count(DISTINCT tenant_id) FROM docs_above(0);
UPDATE docs SET tenant_id = :'b' WHERE id = 3 RETURNING *;
SELECT ffs_set_tenant(:'a');
ROLLBACK;
SET ROLE regress_tenancy_app;

-- one prepared statement, one tenant after the other, custom and generic plans
SET plan_cache_mode = force_generic_plan;
PREPARE one AS SELECT tenant_id, count(*), min(id) FROM docs GROUP BY tenant_id ORDER BY 1;
PREPARE by_key(integer) AS SELECT * FROM docs WHERE id = $1;
BEGIN; SELECT ffs_set_tenant(:'a'); EXECUTE one; EXECUTE by_key(3); EXECUTE by_key(1); COMMIT;
BEGIN; SELECT ffs_set_tenant(:'b'); EXECUTE one; EXECUTE by_key(3); EXECUTE by_key(1); COMMIT;
BEGIN; SELECT ffs_set_tenants(ARRAY[:'a', :'c']); EXECUTE one; EXECUTE by_key(3); EXECUTE by_key(1); COMMIT;
SET ROLE regress_tenancy_admin;
BEGIN; SELECT ffs_set_all_tenants(); EXECUTE one; EXECUTE by_key(3); EXECUTE by_key(1); ROLLBACK;
SET ROLE regress_tenancy_app;
BEGIN; SELECT ffs_set_tenant(:'c'); EXECUTE one; EXECUTE by_key(3); EXECUTE by_key(1); COMMIT;
EXECUTE one;
RESET plan_cache_mode;
-- a procedure that commits meets each mode with the same plan
CREATE PROCEDURE pg_temp.rounds() LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    FOR i IN 1..6 LOOP
        IF i % 3 = 1 THEN PERFORM ffs_set_tenants('{00000000-0000-0000-0000-00000000000a,00000000-0000-0000-0000-00000000000b}');
        ELSIF i % 3 = 2 THEN PERFORM ffs_set_tenant('00000000-0000-0000-0000-00000000000c');
        END IF;
        SELECT count(*) INTO n FROM tenancy_test.docs;
        RAISE WARNING 'round %: %', i, n;
        COMMIT;
    END LOOP;
END $$;
CALL pg_temp.rounds();
-- a cursor keeps what it was opened with
BEGIN;
SELECT ffs_set_tenant(:'a');
DECLARE held CURSOR WITH HOLD FOR SELECT DISTINCT tenant_id FROM docs;
COMMIT;
BEGIN;
SELECT ffs_set_tenant(:'b');
FETCH ALL FROM held;
COMMIT;
CLOSE held;

-- workers know no tenant, yet scans stay parallel
CREATE FUNCTION pg_temp.plan_has(query text, word text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line LIKE '%' || word || '%' THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
BEGIN;
SELECT ffs_set_tenant(:'a');
SELECT pg_temp.plan_has('SELECT count(*) FROM tenancy_test.docs', 'Parallel Seq Scan');
SELECT count(*) FROM docs;
ROLLBACK;
BEGIN;
SELECT ffs_set_tenants(ARRAY[:'a', :'b']);
SELECT pg_temp.plan_has('SELECT count(*) FROM tenancy_test.docs', 'Parallel Seq Scan');
SELECT count(*) FROM docs;
ROLLBACK;
-- a function that workers may run and should not: an error, not an empty table
CREATE FUNCTION pg_temp.lookup(integer) RETURNS integer LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS 'BEGIN RETURN (SELECT v FROM tenancy_test.docs WHERE id = $1); END';
SET parallel_leader_participation = off;
BEGIN;
SELECT ffs_set_tenant(:'a');
SAVEPOINT s;
\set VERBOSITY terse
SELECT count(*) FROM plain WHERE pg_temp.lookup(id) = 3;
\set VERBOSITY default
ROLLBACK TO s;
ALTER FUNCTION pg_temp.lookup(integer) PARALLEL RESTRICTED;
SELECT count(*) FROM plain WHERE pg_temp.lookup(id) = 3;
ROLLBACK;
DROP FUNCTION pg_temp.lookup;
RESET parallel_leader_participation;
RESET min_parallel_table_scan_size;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET ROLE;

-- an index that begins with the tenant serves order, for one and for several
CREATE INDEX docs_tenant_v ON docs (tenant_id, v);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET ROLE regress_tenancy_app;
BEGIN;
SELECT ffs_set_tenant(:'a');
SELECT pg_temp.plan_has('SELECT * FROM tenancy_test.docs ORDER BY v LIMIT 3', 'Sort') AS sorts,
       pg_temp.plan_has('SELECT * FROM tenancy_test.docs WHERE id = 3', 'InitPlan') AS asks_apart;
ROLLBACK;
BEGIN;
SELECT ffs_set_tenants(ARRAY[:'a', :'b']);
SELECT pg_temp.plan_has('SELECT * FROM tenancy_test.docs WHERE v = 3', 'Index Cond: ((tenant_id = ANY');
ROLLBACK;
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET ROLE;

-- every type; a text that does not fit sees nothing and writes nothing
CREATE TABLE t_text (tenant text NOT NULL DEFAULT ffstorage.tenant_text());
CREATE TABLE t_int2 (tenant int2 NOT NULL DEFAULT ffstorage.tenant_int2());
CREATE TABLE t_int4 (tenant int4 NOT NULL DEFAULT ffstorage.tenant_int4());
CREATE TABLE t_int8 (tenant int8 NOT NULL DEFAULT ffstorage.tenant_int8());
INSERT INTO t_text VALUES ('7'), ('x');
INSERT INTO t_int2 VALUES (7), (8);
INSERT INTO t_int4 VALUES (7), (8);
INSERT INTO t_int8 VALUES (7), (8), (70000);
CALL guard('t_text', 'tenant', 'text');
CALL guard('t_int2', 'tenant', 'int2');
CALL guard('t_int4', 'tenant', 'int4');
CALL guard('t_int8', 'tenant', 'int8');
SET ROLE regress_tenancy_app;
BEGIN;
SELECT ffs_set_tenant('7');
INSERT INTO t_text DEFAULT VALUES;
INSERT INTO t_int2 DEFAULT VALUES;
INSERT INTO t_int4 DEFAULT VALUES;
INSERT INTO t_int8 DEFAULT VALUES;
SELECT (SELECT count(*) FROM t_text), (SELECT count(*) FROM t_int2), (SELECT count(*) FROM t_int4), (SELECT count(*) FROM t_int8), (SELECT count(*) FROM docs);
INSERT INTO docs VALUES (300, :'a');
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant('70000');
SELECT (SELECT count(*) FROM t_int2), (SELECT count(*) FROM t_int4), (SELECT count(*) FROM t_int8);
INSERT INTO t_int2 DEFAULT VALUES;
ROLLBACK;
BEGIN;
SELECT ffs_set_tenants('{x,7,70000}');
SELECT (SELECT count(*) FROM t_text), (SELECT count(*) FROM t_int2), (SELECT count(*) FROM t_int4), (SELECT count(*) FROM t_int8);
SELECT ffstorage.tenants_int2(), ffstorage.tenants_int4(), ffstorage.tenants_uuid(), ffstorage.tenants_text();
INSERT INTO t_int4 VALUES (8);
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant(' 7 ');
SELECT ffstorage.tenant_int2(), ffstorage.tenant_int4(), ffstorage.tenant_int8(), ffstorage.tenant_uuid();
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant('{00000000-00000000-00000000-0000000A}');
SELECT ffstorage.tenant_uuid(), ffstorage.tenant_int8();
ROLLBACK;
BEGIN;
SELECT ffs_set_tenant('{00000000-0000-0000-0000-00000000000a');
SELECT ffstorage.tenant_uuid();
ROLLBACK;
RESET ROLE;

-- no row refers to another tenant's, whoever writes it
CREATE TABLE parents (id integer PRIMARY KEY, tenant_id uuid NOT NULL);
CREATE TABLE children (id integer PRIMARY KEY, tenant_id uuid NOT NULL, parent integer REFERENCES parents);
INSERT INTO parents VALUES (1, :'a'), (2, :'b');
INSERT INTO children VALUES (1, :'a', 1), (2, :'b', 2), (3, :'b', 1);
CALL guard('parents', 'tenant_id', 'uuid');
CALL guard('children', 'tenant_id', 'uuid');
\set VERBOSITY terse
BEGIN;
SELECT ffs_set_tenant(:'a');
SAVEPOINT s;
INSERT INTO children VALUES (10, :'a', 2);
ROLLBACK TO s;
SET ROLE regress_tenancy_app;
INSERT INTO children VALUES (10, :'a', 1);
SAVEPOINT s2;
INSERT INTO children VALUES (11, :'a', 2);
ROLLBACK TO s2;
INSERT INTO children VALUES (11, :'a', 3);
ROLLBACK TO s2;
UPDATE children SET parent = 2 WHERE id = 1;
ROLLBACK TO s2;
DELETE FROM children;
DELETE FROM parents;
ROLLBACK;
-- without a tenant a superuser writes what the key allows
INSERT INTO children VALUES (10, :'a', 2);
INSERT INTO children VALUES (11, :'a', 3);
\set VERBOSITY default

-- managed tables: the same for everybody who writes while a tenant is set, whatever writes
CREATE TABLE orders (id integer PRIMARY KEY, "Tenant" uuid NOT NULL, v integer);
CREATE TABLE lines (id integer PRIMARY KEY, "Tenant" uuid NOT NULL, ord integer REFERENCES orders ON DELETE CASCADE);
GRANT ALL ON orders, lines TO regress_tenancy_app, regress_tenancy_admin;
SELECT ffs_manage('orders', 'scd2', tenant_column => 'Tenant', soft_delete => true);
SELECT ffs_manage('lines', 'scd2', tenant_column => 'Tenant');
INSERT INTO orders VALUES (1, :'a', 1), (2, :'b', 2), (3, :'c', 3);
INSERT INTO lines VALUES (1, :'a', 1), (2, :'b', 2), (3, :'b', 1);
\set VERBOSITY terse
INSERT INTO orders (id) VALUES (9);
BEGIN;
SELECT ffs_set_tenant(:'a');
SAVEPOINT s;
UPDATE orders SET v = 0 WHERE id = 2;
ROLLBACK TO s;
DELETE FROM orders WHERE id = 1;
ROLLBACK TO s;
TRUNCATE lines;
ROLLBACK TO s;
INSERT INTO orders VALUES (2, :'a', 0) ON CONFLICT (id) DO UPDATE SET v = 0;
ROLLBACK TO s;
COPY orders (id, v) FROM stdin;
7	7
\.
SELECT id, "Tenant", v FROM orders WHERE id = 7;
SET ROLE regress_tenancy_app;
UPDATE orders SET v = v + 1;
SELECT id, v FROM orders ORDER BY id;
SELECT id, v FROM orders_as_of('infinity') ORDER BY id;
SELECT id, is_current FROM orders_versions ORDER BY id, valid_from;
SAVEPOINT s;
DELETE FROM orders WHERE id = 1;
ROLLBACK TO s;
DELETE FROM orders WHERE id = 7;
SELECT id FROM orders_with_deleted ORDER BY id;
ROLLBACK;
SET ROLE regress_tenancy_app;
UPDATE orders SET v = 0;
TRUNCATE lines;
BEGIN;
SELECT ffs_set_tenants(ARRAY[:'a', :'b']);
UPDATE orders SET v = v + 1;
SELECT id, v FROM orders_as_of('infinity') ORDER BY id;
SELECT id, is_current FROM orders_versions ORDER BY id, valid_from;
SELECT count(*) FROM orders_history;
INSERT INTO orders (id) VALUES (8);
ROLLBACK;
SET ROLE regress_tenancy_admin;
BEGIN;
SELECT ffs_set_all_tenants();
SELECT count(*) FROM orders_as_of('infinity');
DELETE FROM orders WHERE id = 1;
SELECT id FROM lines ORDER BY id;
TRUNCATE lines;
ROLLBACK;
RESET ROLE;
\set VERBOSITY default
SELECT ffs_unmanage('lines', keep_history => false);
SELECT ffs_unmanage('orders', keep_history => false);

-- both policies go with the extension: taking it away closes, never opens
SELECT p.polname, array_agg(DISTINCT d.refobjid::regproc::text ORDER BY d.refobjid::regproc::text)
FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass
WHERE p.polrelid = 'docs'::regclass GROUP BY 1 ORDER BY 1;

DROP FUNCTION pg_temp.plan_has;
DROP PROCEDURE pg_temp.rounds;
DROP SCHEMA tenancy_test CASCADE;
REVOKE EXECUTE ON FUNCTION ffs_set_all_tenants() FROM regress_tenancy_admin;
DROP ROLE regress_tenancy_app, regress_tenancy_admin;
