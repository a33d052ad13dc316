/* The cache of rows by key: what is answered from it, what is not, and that nobody sees more or less for it. */
SET client_min_messages = warning;
CREATE EXTENSION ffstorage;
CREATE SCHEMA cache_test;
SET search_path = cache_test, public;

/* What the statements since the last call did to the cache: hits and fills; NULL without one. */
CREATE TABLE figures (hits bigint, misses bigint, bypassed bigint, fills bigint);
INSERT INTO figures VALUES (0, 0, 0, 0);
CREATE FUNCTION did(OUT hit bigint, OUT missed bigint, OUT bypassed bigint, OUT filled bigint) LANGUAGE plpgsql AS $$
DECLARE
	s record;
	f figures;
BEGIN
	SELECT * INTO s FROM ffs_stat_cache;
	SELECT * INTO f FROM figures;
	hit := s.hits - f.hits;
	missed := s.misses - f.misses;
	bypassed := s.bypassed - f.bypassed;
	filled := s.fills - f.fills;
	UPDATE figures SET hits = s.hits, misses = s.misses, bypassed = s.bypassed, fills = s.fills;
END $$;
CREATE TABLE t (id integer PRIMARY KEY, v text, n numeric);
SELECT ffs_manage('t', stamps => false);
INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 100) i;
SELECT did() IS NOT NULL;

/* a miss fills, a hit does not ask; rows that are not there too; every form of key */
SELECT * FROM ffs_get(NULL::t, 1);
SELECT * FROM did();
SELECT * FROM ffs_get(NULL::t, 1);
SELECT ffs_get(NULL::t, '1');
SELECT ffs_get(NULL::t, '{"id": 1}'::jsonb);
SELECT ffs_get(NULL::t, 1::bigint);
SELECT * FROM did();
SELECT * FROM ffs_get(NULL::t, 1000);
SELECT * FROM ffs_get(NULL::t, 1000);
SELECT * FROM did();
SELECT * FROM ffs_get_many(NULL::t, ARRAY[3, 1000, NULL, 1, 3]);
SELECT * FROM did();
SELECT g.v FROM generate_series(1, 3) k, ffs_get(NULL::t, k) g ORDER BY k;
SELECT * FROM did();
SELECT (ffs_get(NULL::t, k)).v FROM generate_series(99, 101) k;
SELECT * FROM did();

/* every kind of write */
UPDATE t SET v = 'updated' WHERE id = 1;
SELECT v FROM ffs_get(NULL::t, 1);
DELETE FROM t WHERE id = 1;
SELECT v FROM ffs_get(NULL::t, 1);
INSERT INTO t VALUES (1, 'again', 1);
SELECT v FROM ffs_get(NULL::t, 1);
UPDATE t SET id = 1000 WHERE id = 1;
SELECT k, g.v FROM unnest(ARRAY[1, 1000]) k LEFT JOIN ffs_get(NULL::t, k) g ON true;
COPY t FROM STDIN;
1	copied	1
\.
SELECT v FROM ffs_get(NULL::t, 1);
INSERT INTO t VALUES (1, 'conflict', 1), (2000, 'new', 1) ON CONFLICT (id) DO UPDATE SET v = 'conflict';
SELECT k, g.v FROM unnest(ARRAY[1, 2000]) k LEFT JOIN ffs_get(NULL::t, k) g ON true;
MERGE INTO t USING (VALUES (1), (3000)) s(k) ON t.id = k WHEN MATCHED THEN UPDATE SET v = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (k, 'merged', 1);
SELECT k, g.v FROM unnest(ARRAY[1, 3000]) k LEFT JOIN ffs_get(NULL::t, k) g ON true;
SELECT ffs_update('t', '{"id": 1, "v": "by function"}')->'v';
SELECT v FROM ffs_get(NULL::t, 1);
TRUNCATE t;
SELECT v FROM ffs_get(NULL::t, 1);
INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 100) i;
SELECT v FROM ffs_get(NULL::t, 1);

/* one's own writes, rolled back too */
BEGIN;
UPDATE t SET v = 'mine' WHERE id = 1;
SELECT v FROM ffs_get(NULL::t, 1);
SAVEPOINT s;
UPDATE t SET v = 'inner' WHERE id = 1;
DELETE FROM t WHERE id = 2;
SELECT k, g.v FROM unnest(ARRAY[1, 2]) k LEFT JOIN ffs_get(NULL::t, k) g ON true;
ROLLBACK TO s;
SELECT k, g.v FROM unnest(ARRAY[1, 2]) k LEFT JOIN ffs_get(NULL::t, k) g ON true;
ROLLBACK;
SELECT v FROM ffs_get(NULL::t, 1);

/* a statement sees what its snapshot sees, as SELECT does */
WITH w AS (UPDATE t SET v = 'w' WHERE id = 1 RETURNING v) SELECT w.v, g.v AS got, t.v AS selected FROM w, ffs_get(NULL::t, 1) g, t WHERE t.id = 1;
SELECT v FROM ffs_get(NULL::t, 1);
CREATE FUNCTION change_and_get() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		UPDATE t SET v = 'loop ' || i WHERE id = 5;
		RETURN QUERY SELECT v FROM ffs_get(NULL::t, 5);
	END LOOP;
END $$;
SELECT * FROM change_and_get();

/* changes of the table */
SELECT v FROM ffs_get(NULL::t, 5);
ALTER TABLE t ADD COLUMN extra integer DEFAULT 7;
SELECT * FROM ffs_get(NULL::t, 5);
SELECT * FROM ffs_get(NULL::t, 5);
ALTER TABLE t ALTER COLUMN n TYPE text USING 'n' || n;
SELECT * FROM ffs_get(NULL::t, 5);
ALTER TABLE t DROP COLUMN extra;
SELECT * FROM ffs_get(NULL::t, 5);
BEGIN;
ALTER TABLE t RENAME COLUMN n TO m;
SELECT did() IS NOT NULL;
SELECT * FROM ffs_get(NULL::t, 5);
ROLLBACK;
SELECT * FROM ffs_get(NULL::t, 5);

/* triggers that do not fire: not answered from the cache, and not stale after */
SELECT v FROM ffs_get(NULL::t, 6);
ALTER TABLE t DISABLE TRIGGER USER;
UPDATE t SET v = 'unseen' WHERE id = 6;
SELECT did() IS NOT NULL;
SELECT v FROM ffs_get(NULL::t, 6);
SELECT * FROM did();
SELECT amiss ~ 'zz_ffstorage_replica' AS replica_trigger_is_missed FROM ffs_tables WHERE relation = 't'::regclass;
UPDATE t SET v = 'unseen again' WHERE id = 6;
SELECT ffs_manage('t', stamps => false);
SELECT v FROM ffs_get(NULL::t, 6);
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 't'::regclass ORDER BY 1;
SELECT v FROM ffs_get(NULL::t, 6);
SELECT * FROM did();
SET session_replication_role = replica;
UPDATE t SET v = 'replicated' WHERE id = 6;
DELETE FROM t WHERE id = 7;
INSERT INTO t VALUES (7000, 'replicated');
RESET session_replication_role;
SELECT k, g.v FROM unnest(ARRAY[6, 7, 7000]) k LEFT JOIN ffs_get(NULL::t, k) g ON true;

/* SERIALIZABLE asks; REPEATABLE READ does not */
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT did() IS NOT NULL;
SELECT v FROM ffs_get(NULL::t, 6);
COMMIT;
SELECT * FROM did();
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT v FROM ffs_get(NULL::t, 6);
COMMIT;
SELECT * FROM did();
SET ffstorage.cache = off;
SELECT v FROM ffs_get(NULL::t, 6);
SELECT * FROM did();
-- one look-up a key
SELECT count(*) FROM ffs_get_many(NULL::t, ARRAY[NULL, 6, 7, NULL, 6]);
SELECT * FROM did();
RESET ffstorage.cache;

/* tenants and roles */
CREATE ROLE regress_cache_a;
CREATE ROLE regress_cache_none;
CREATE TABLE owned (id text PRIMARY KEY, tenant integer NOT NULL, v text);
SELECT ffs_manage('owned', 'scd2', 'tenant');
SELECT ffs_set_all_tenants();
INSERT INTO owned (id, tenant, v) SELECT 'k' || i, i % 3, 'v' || i FROM generate_series(0, 8) i;
GRANT USAGE ON SCHEMA cache_test TO regress_cache_a, regress_cache_none;
GRANT SELECT ON owned TO regress_cache_a;
SELECT array_agg(g.id) FROM ffs_get_many(NULL::owned, ARRAY['k0', 'k1', 'k2', 'k3', 'k4']) g;
SELECT did() IS NOT NULL;
BEGIN;
SET LOCAL ROLE regress_cache_a;
SELECT array_agg(g.id) AS without_tenant FROM ffs_get_many(NULL::owned, ARRAY['k0', 'k1', 'k2', 'k3', 'k4']) g;
COMMIT;
BEGIN;
SELECT ffs_set_tenant('1');
SET LOCAL ROLE regress_cache_a;
SELECT array_agg(g.id) FROM ffs_get_many(NULL::owned, ARRAY['k0', 'k1', 'k2', 'k3', 'k4']) g;
SELECT g.v FROM ffs_get(NULL::owned, 'k0') g;
COMMIT;
BEGIN;
SELECT ffs_set_tenants('{0,2}');
SET LOCAL ROLE regress_cache_a;
SELECT array_agg(g.id) FROM ffs_get_many(NULL::owned, ARRAY['k0', 'k1', 'k2', 'k3', 'k4']) g;
COMMIT;
BEGIN;
SELECT ffs_set_all_tenants();
SET LOCAL ROLE regress_cache_a;
SELECT array_agg(g.id) FROM ffs_get_many(NULL::owned, ARRAY['k0', 'k1', 'k2', 'k3', 'k4']) g;
COMMIT;
SELECT * FROM did();
BEGIN;
SET LOCAL ROLE regress_cache_none;
SELECT g.v FROM ffs_get(NULL::owned, 'k0') g;
ROLLBACK;
BEGIN;
SET LOCAL row_security = off;
SET LOCAL ROLE regress_cache_a;
SELECT g.v FROM ffs_get(NULL::owned, 'k0') g;
ROLLBACK;
/* another policy: the tables are asked */
CREATE POLICY mine ON owned FOR SELECT TO regress_cache_a USING (v <> 'v4');
SELECT did() IS NOT NULL;
BEGIN;
SELECT ffs_set_tenant('1');
SET LOCAL ROLE regress_cache_a;
SELECT array_agg(g.id) FROM ffs_get_many(NULL::owned, ARRAY['k0', 'k1', 'k4', 'k7']) g;
SELECT g.v FROM ffs_get(NULL::owned, 'k4') g;
COMMIT;
DROP POLICY mine ON owned;
BEGIN;
SELECT ffs_set_tenant('1');
SET LOCAL ROLE regress_cache_a;
SELECT g.v FROM ffs_get(NULL::owned, 'k4') g;
COMMIT;
REVOKE SELECT ON owned FROM regress_cache_a;
GRANT SELECT (id, tenant) ON owned TO regress_cache_a;
BEGIN;
SELECT ffs_set_tenant('1');
SET LOCAL ROLE regress_cache_a;
SELECT g.v FROM ffs_get(NULL::owned, 'k4') g;
ROLLBACK;

/* partitions, other column orders, keys that are equal and not the same, long rows */
CREATE TABLE p (id numeric, day date, v text, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY HASH (id);
CREATE TABLE p1a (v text, gone text, id numeric NOT NULL, day date NOT NULL);
ALTER TABLE p1a DROP COLUMN gone;
ALTER TABLE p1 ATTACH PARTITION p1a FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE p2 PARTITION OF p DEFAULT;
SELECT ffs_manage('p', 'copy_on_change', stamps => false);
INSERT INTO p (id, day, v) VALUES (1.5, '2026-01-01', 'a'), (1.50, '2026-03-01', 'b');
SELECT did() IS NOT NULL;
SELECT g.v FROM ffs_get(NULL::p, '2026-01-01'::date, 1.5) g;
SELECT g.* FROM ffs_get(NULL::p, '2026-01-01'::date, 1.500) g;
SELECT g.v FROM ffs_get(NULL::p, '{"id": 1.50, "day": "2026-03-01"}'::jsonb) g;
UPDATE p SET v = v || '+';
SELECT g.v FROM ffs_get(NULL::p, '2026-01-01'::date, 1.5) g;
SELECT g.v FROM ffs_get(NULL::p, '2026-01-01'::date, 1.500) g;
UPDATE p1a SET v = v || '+';
UPDATE p SET day = '2026-01-02' WHERE day = '2026-03-01';
SELECT g.v FROM ffs_get_many(NULL::p, ARRAY['{"id": 1.50, "day": "2026-03-01"}', '{"id": 1.50, "day": "2026-01-02"}', '{"id": 1.5, "day": "2026-01-01"}']::jsonb[]) g;
TRUNCATE p1a;
SELECT g.v FROM ffs_get(NULL::p, '2026-01-01'::date, 1.5) g;
CREATE TABLE long (id char(5) PRIMARY KEY, v text, w text);
ALTER TABLE long ALTER v SET STORAGE EXTERNAL;
SELECT ffs_manage('long', 'scd2', soft_delete => true);
INSERT INTO long (id, v, w) VALUES ('a', repeat('x', 7000), NULL), ('b', repeat('y', 100000), 'w');
SELECT length(g.v), md5(g.v), g.w FROM ffs_get(NULL::long, 'a') g;
SELECT length(g.v), md5(g.v), g.w FROM ffs_get(NULL::long, 'a    ') g;
SELECT length(g.v), md5(g.v), g.w FROM ffs_get(NULL::long, 'b') g;
DELETE FROM long WHERE id = 'a';
SELECT g.w FROM ffs_get(NULL::long, 'a') g;
SELECT ffs_restore('long', 'a');
SELECT length(g.v) FROM ffs_get(NULL::long, 'a') g;

/* cascades */
CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
SELECT ffs_manage('child', 'scd2');
INSERT INTO child (id, parent) VALUES (1, 10), (2, 11);
SELECT id, parent FROM ffs_get_many(NULL::child, ARRAY[1, 2]);
DELETE FROM t WHERE id = 10;
UPDATE t SET id = 1011 WHERE id = 11;
SELECT id, parent FROM ffs_get_many(NULL::child, ARRAY[1, 2]);

/* for people */
SELECT did() IS NOT NULL;
SET ROLE regress_cache_a;
SELECT ffs_cache_invalidate();
SELECT ffs_cache_warm('t');
SELECT * FROM ffs_stat_cache;
RESET ROLE;
SELECT ffs_cache_warm(NULL);
SELECT ffs_cache_warm('figures');
SELECT ffs_cache_invalidate('cache_test.t') >= 0, ffs_cache_invalidate('nothing');
SELECT ffs_cache_warm('t') AS warmed, (SELECT count(*) FROM t);
SELECT count(*) FROM generate_series(1, 100) k, ffs_get(NULL::t, k);
SELECT hit FROM did();
SELECT ffs_cache_invalidate('cache_test.t') AS removed;
SELECT check_name, status FROM ffs_health WHERE check_name = 'cache';

SELECT count(*) FROM ffs_tables, ffs_unmanage(relation, false);
DROP SCHEMA cache_test CASCADE;
DROP ROLE regress_cache_a, regress_cache_none;
DROP EXTENSION ffstorage;
