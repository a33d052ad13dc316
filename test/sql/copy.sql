-- COPY into managed tables: with and without our row trigger, same rows, same history.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
RESET client_min_messages;
CREATE SCHEMA copying;
SET search_path = copying, public;

CREATE TABLE s (id int PRIMARY KEY, v int CHECK (v > 0));
SELECT ffs_manage('s', 'scd2', soft_delete => true);
COPY s (id, v) FROM stdin;
1	10
2	20
3	30
\.
SELECT id, v, version, valid_from = updated_at AND created_at = updated_at AS one_time,
       transaction_id = s.xmin::text::xid8 AS own, created_by = session_user AND updated_by = session_user AS actor
FROM s ORDER BY id;

-- a key that is deleted and comes again in one transaction begins a new life, later
BEGIN;
DELETE FROM s WHERE id = 1;
COPY s (id, v) FROM stdin;
1	11
4	40
\.
COMMIT;
SELECT s.version, s.valid_from > h.valid_to AS later, h.end_operation
FROM s JOIN s_history h USING (id) WHERE id = 1;

-- stamps that the file brings are ignored
COPY s (id, v, version, valid_from, created_by) FROM stdin;
5	50	77	1999-01-01	mallory
\.
SELECT version, valid_from > now() - interval '1 hour' AS ours, created_by = session_user AS actor FROM s WHERE id = 5;

-- so are ours where the default is no longer ours
ALTER TABLE s ALTER version SET DEFAULT 42;
COPY s (id, v) FROM stdin;
6	60
\.
SELECT version FROM s WHERE id = 6;
ALTER TABLE s ALTER version SET DEFAULT 1;

-- a bad row takes the whole COPY with it, and the next statement is as ever
COPY s (id, v) FROM stdin;
7	70
8	-1
\.
INSERT INTO s (id, v, version) VALUES (9, 90, 55) RETURNING version;
BEGIN;
SAVEPOINT a;
COPY s (id, v) FROM stdin;
10	100
\.
ROLLBACK TO a;
INSERT INTO s (id, v, version) VALUES (11, 110, 55) RETURNING version;
COMMIT;
SELECT array_agg(id ORDER BY id) FROM s;

-- users' triggers: a BEFORE trigger changes and suppresses, an AFTER trigger writes the same table meanwhile
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN IF new.v = 13 THEN RETURN NULL; END IF; new.v := new.v + 1; RETURN new; END$$;
CREATE TRIGGER aaa BEFORE INSERT ON s FOR EACH ROW EXECUTE FUNCTION change();
COPY s (id, v) FROM stdin;
20	13
21	14
\.
DROP TRIGGER aaa ON s;
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN IF new.id < 100 THEN INSERT INTO s (id, v, version) VALUES (new.id + 100, new.v, 99); END IF; RETURN NULL; END$$;
CREATE TRIGGER echo AFTER INSERT ON s FOR EACH ROW EXECUTE FUNCTION echo();
COPY s (id, v) FROM stdin;
30	1
31	2
\.
DROP TRIGGER echo ON s;
SELECT id, v, version FROM s WHERE id IN (20, 21, 30, 31, 130, 131) ORDER BY id;
SELECT count(*) AS differences FROM
    ((TABLE s EXCEPT ALL SELECT * FROM s_as_of('infinity')) UNION ALL
     (SELECT * FROM s_as_of('infinity') EXCEPT ALL TABLE s)) d;

-- copy_on_change: an entry for each row
CREATE TABLE c (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED);
SELECT ffs_manage('c', 'copy_on_change');
COPY c (id, v) FROM stdin;
1	10
2	\N
\.
SELECT id, operation, field_name, old_value, new_value - '{created_at,created_by,updated_at,updated_by}'::text[] AS new_value
FROM c_audit ORDER BY entry_id;

-- tenants: with one set, every row is checked
CREATE TABLE t (id int PRIMARY KEY, tenant text NOT NULL, v int);
SELECT ffs_manage('t', 'scd2', 'tenant');
BEGIN;
SELECT ffs_set_tenant('a');
COPY t (id, v) FROM stdin;
1	1
\.
COPY t (id, tenant, v) FROM stdin;
2	a	2
3	b	3
\.
ROLLBACK;
COPY t (id, tenant, v) FROM stdin;
4	a	4
5	b	5
\.
COPY t (id, v) FROM stdin;
6	6
\.
SELECT id, tenant, version FROM t ORDER BY id;

-- a partition named directly
CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE p1 (v int, id int NOT NULL);
ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
SELECT ffs_manage('p', 'scd2');
BEGIN;
COPY p1 (id, v) FROM stdin;
1	1
\.
COPY p (id, v) FROM stdin;
2	2
12	12
\.
COMMIT;
BEGIN;
DELETE FROM p;
COPY p1 (id, v) FROM stdin;
1	11
\.
COMMIT;
SELECT p.id, p.v, p.version, p.valid_from > h.valid_to AS later FROM p JOIN p_history h USING (id) ORDER BY 1;

SET client_min_messages = warning;
SELECT ffs_unmanage_all();
DROP SCHEMA copying CASCADE;
