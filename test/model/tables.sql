-- The tables of test/model/run.pl: all that a cache of rows and of results may
-- meet.  Made anew each time.
SET client_min_messages = warning;
SELECT ffs_unmanage(relation, false) FROM ffs_tables WHERE relation::text ~ '^model\.';
DROP SCHEMA IF EXISTS model, model_first CASCADE;
CREATE SCHEMA model;
CREATE SCHEMA model_first;
DO $$ BEGIN CREATE ROLE model_user; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE model_group; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT USAGE ON SCHEMA model, model_first TO model_user, model_group;
CREATE TYPE model.mood AS ENUM ('low', 'even', 'high');

CREATE TABLE model.plain (id integer PRIMARY KEY, v integer, pad text);
CREATE TABLE model.parted (id numeric PRIMARY KEY, v integer, pad text) PARTITION BY RANGE (id);
CREATE TABLE model.parted_a PARTITION OF model.parted FOR VALUES FROM (MINVALUE) TO (70);
CREATE TABLE model.parted_b PARTITION OF model.parted FOR VALUES FROM (70) TO (MAXVALUE) PARTITION BY HASH (id);
CREATE TABLE model.parted_b1 (pad text, gone text, v integer, id numeric NOT NULL);
ALTER TABLE model.parted_b1 DROP COLUMN gone;
ALTER TABLE model.parted_b ATTACH PARTITION model.parted_b1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE model.parted_b2 PARTITION OF model.parted_b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE model.owned (id text PRIMARY KEY, tenant integer NOT NULL, v integer, pad text);
CREATE TABLE model.loose (id integer PRIMARY KEY, v integer, pad text);
CREATE TABLE model.pairs (part text, id integer, v integer, pad text, PRIMARY KEY (id, part));
CREATE TABLE model.parent (id integer PRIMARY KEY, v integer, pad text);
CREATE TABLE model.child (id integer PRIMARY KEY, parent integer REFERENCES model.parent ON DELETE CASCADE ON UPDATE CASCADE, v integer, pad text);
CREATE TABLE model.swap_a (id integer PRIMARY KEY, v integer, pad text);
CREATE TABLE model.swap_b (id integer PRIMARY KEY, v integer, pad text);
-- seldom written, of many types
CREATE TABLE model.quiet (id uuid PRIMARY KEY, tenant integer NOT NULL, v integer, mood model.mood, at timestamptz,
    day date, amount numeric, ratio double precision, span interval, tags text[], bytes bytea, pad text);

SELECT ffs_manage('model.plain', 'scd2'), ffs_manage('model.parted', 'copy_on_change', stamps => false),
       ffs_manage('model.owned', 'scd2', 'tenant'), ffs_manage('model.loose', stamps => false),
       ffs_manage('model.pairs', 'scd2', soft_delete => true), ffs_manage('model.parent', stamps => false),
       ffs_manage('model.child', 'scd2'), ffs_manage('model.swap_a', stamps => false), ffs_manage('model.swap_b', stamps => false),
       ffs_manage('model.quiet', 'none', 'tenant');

INSERT INTO model.plain SELECT k, 0, repeat('p', k) FROM generate_series(1, 300, 2) k;
INSERT INTO model.parted SELECT k, 0, repeat('p', k) FROM generate_series(1, 200, 2) k;
INSERT INTO model.owned SELECT 'k' || k, k % 3, 0, repeat('p', k * 10) FROM generate_series(1, 200, 2) k;
INSERT INTO model.loose SELECT k, 0, 'p' FROM generate_series(1, 100, 2) k;
INSERT INTO model.pairs SELECT 'x' || k % 3, k, 0, repeat('p', 6000) FROM generate_series(1, 100, 2) k;
INSERT INTO model.parent SELECT k, 0, 'p' FROM generate_series(1, 40) k;
INSERT INTO model.child SELECT k, 1 + k % 40, 0, repeat('c', k) FROM generate_series(1, 150, 2) k;
INSERT INTO model.swap_a SELECT k, 1, 'a' FROM generate_series(1, 40) k;
INSERT INTO model.swap_b SELECT k, 2, 'b' FROM generate_series(20, 60) k;
INSERT INTO model.quiet SELECT md5('k' || k)::uuid, k % 3, k, (enum_range(NULL::model.mood))[1 + k % 3],
    timestamptz '2024-03-31 00:30+00' + k * interval '7 hours', date '2024-02-20' + k, k / 7.0, k / 3.0::double precision,
    k * interval '5 hours 3 days', ARRAY['t' || k % 5, NULL], decode(md5('b' || k), 'hex'), repeat('q', k)
  FROM generate_series(1, 120) k;

CREATE VIEW model.seen AS SELECT id, v FROM model.plain WHERE v % 2 = 0;
CREATE VIEW model.mine WITH (security_invoker) AS SELECT id, tenant, v FROM model.owned;
CREATE VIEW model.whole AS SELECT id, tenant, v FROM model.owned;
CREATE VIEW model.family AS SELECT p.id, count(c.id) AS children, sum(c.v) AS v FROM model.parent p LEFT JOIN model.child c ON c.parent = p.id GROUP BY p.id;
CREATE FUNCTION model.total(t integer) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(v) FROM model.owned WHERE tenant = t';
CREATE FUNCTION model.body(t integer) RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM model.quiet WHERE tenant = t; END;
CREATE FUNCTION model.definer(t integer) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT count(*) + sum(v) FROM model.owned WHERE tenant = t';
CREATE FUNCTION model.constant(v integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT v + 1';
CREATE FUNCTION model.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.pad := 'meddled ' || coalesce(NEW.v, 0); RETURN NEW; END $$;
CREATE FUNCTION model.move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := 1 + (NEW.id + 1) % 100; RETURN NEW; END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA model TO model_user;
GRANT SELECT ON model.quiet TO model_group;

-- What a query gives, or the SQLSTATE of its error; 'unclear' where it was not let.
CREATE FUNCTION model.run(query text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    said text;
BEGIN
    EXECUTE query INTO said;
    RETURN coalesce(said, 'nothing');
EXCEPTION WHEN OTHERS THEN
    RETURN CASE WHEN SQLSTATE ~ '^(40|55P03|57|53)' THEN 'unclear' ELSE 'error ' || SQLSTATE || ' ' || SQLERRM END;
END $$;

-- Compares what queries give in one snapshot; definitions, which have none, may
-- change between two of them: then the later one is as good.  Gives '@kind N',
-- and a line for each difference.
CREATE FUNCTION model.check(kind text, selects text[], tests text[]) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
DECLARE
    compared integer := 0;
    a text;
    b text;
    c text;
BEGIN
    FOR i IN 1 .. cardinality(tests) LOOP
        a := model.run(selects[i]);
        b := model.run(tests[i]);
        IF a = 'unclear' OR b = 'unclear' THEN CONTINUE; END IF;
        IF a <> b AND NOT (a ~ '^error' AND left(a, 11) = left(b, 11)) THEN
            c := model.run(selects[i]);
            IF c = 'unclear' THEN CONTINUE; END IF;
            IF b <> c AND NOT (c ~ '^error' AND left(c, 11) = left(b, 11)) THEN
                RETURN NEXT format('DIFF %s: %s gives %s, SELECT %s', kind, tests[i], left(b, 300), left(c, 300));
            END IF;
        END IF;
        compared := compared + 1;
    END LOOP;
    RETURN NEXT '@' || kind || ' ' || compared;
END $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA model TO model_user, model_group;
