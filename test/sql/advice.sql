-- ffs_index_advice: the indexes that a managed table lacks, as commands that work.
-- The law: run what it says, in its order, and it has nothing more to say.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS ffstorage;
CREATE VIEW lacking AS
SELECT t.relation::text AS of, a.*
FROM ffs_tables t, ffs_index_advice(t.relation) WITH ORDINALITY AS a(index_on, status, reason, command, number);

-- a table of one tenant column and two foreign keys
CREATE TABLE adv_customers (tenant_id integer, id integer, PRIMARY KEY (id, tenant_id));
CREATE TABLE adv_kinds (kind text PRIMARY KEY);
CREATE TABLE adv (id uuid PRIMARY KEY, tenant_id integer NOT NULL, customer integer, kind text REFERENCES adv_kinds,
                  CONSTRAINT adv_customer FOREIGN KEY (customer, tenant_id) REFERENCES adv_customers (id, tenant_id));
SELECT ffs_manage('adv', 'scd2', tenant_column => 'tenant_id', soft_delete => true);
SELECT index_on, status, reason, command FROM ffs_index_advice('adv');
-- what a tenant's page costs: the rows of the page, once the index is there
CREATE FUNCTION page_plan() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) SELECT * FROM adv WHERE tenant_id = 1 ORDER BY id LIMIT 10' LOOP
        RETURN NEXT regexp_replace(line, 'InitPlan.*', 'InitPlan');
    END LOOP;
END $$;
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_incremental_sort = off;
SELECT command FROM ffs_index_advice('adv') \gexec
SELECT * FROM page_plan();
RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_incremental_sort;
SELECT * FROM ffs_index_advice('adv');
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'adv'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";

-- what serves and what does not, one index at a time
DROP INDEX adv_tenant_id_id_idx, adv_tenant_id_customer_idx, adv_kind_idx;
CREATE FUNCTION lacks_with(VARIADIC definitions text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    definition text;
BEGIN
    FOREACH definition IN ARRAY definitions LOOP
        EXECUTE format('CREATE INDEX ON adv %s', definition);
    END LOOP;
    SELECT coalesce(string_agg(substring(command FROM '\(.*\)'), ' '), 'nothing') INTO result FROM ffs_index_advice('adv');
    RAISE EXCEPTION USING message = result;
EXCEPTION WHEN raise_exception THEN
    RETURN SQLERRM;
END $$;
CREATE FUNCTION half(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2';
SELECT definition, lacks_with(definition)
FROM unnest(ARRAY[
    '(tenant_id)', '(tenant_id DESC, id)', '(tenant_id, id DESC NULLS LAST)', '(tenant_id, id DESC)', '(id, tenant_id)',
    '(tenant_id, customer)', '(customer, tenant_id)', '(customer, tenant_id, kind)', '(customer, kind, tenant_id)', '(customer)',
    '(tenant_id) INCLUDE (id, customer)', 'USING hash (tenant_id)', 'USING hash (kind)', 'USING brin (kind)', '(half(tenant_id))',
    '(kind)', '(kind, id)', '(tenant_id, kind)', '(kind text_pattern_ops)', '(kind COLLATE "C")', '((kind || ''x''))',
    '(kind) WHERE kind IS NOT NULL', '(kind) WHERE kind <> ''x''', '(kind) WHERE customer IS NOT NULL', '(kind) WHERE customer > 1',
    '(tenant_id, customer) WHERE customer IS NOT NULL', '(tenant_id, id) WHERE customer IS NOT NULL',
    '(tenant_id, id) WHERE tenant_id IS NOT NULL']) definition;
SELECT lacks_with('(tenant_id, id)', '(customer, tenant_id)', '(kind)');

-- what stands beside it: lost, out of step, put back as it was; by its owner
CREATE ROLE regress_adv_owner;
CREATE ROLE regress_adv_reader;
CREATE ROLE regress_adv_other;
GRANT pg_monitor TO regress_adv_reader;
GRANT SELECT ON lacking TO PUBLIC;
CREATE VIEW shape AS
SELECT c.oid::regclass::text AS on, pg_get_indexdef(i.indexrelid) AS definition, i.indisprimary, i.indisvalid
FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid
WHERE c.relname ~ '^adv_.*(history|deleted|audit)$' OR c.relname ~ '^Adv';
CREATE TABLE adv_audited (id integer, part text COLLATE "C", at timestamptz DEFAULT '2026-01-01', "Who" text, seen integer, PRIMARY KEY (part, id));
SELECT ffs_manage('adv_audited', 'copy_on_change', exclude => '{seen}', columns => '{"created_by": "Who"}', soft_delete => true);
CREATE SCHEMA "Adv Schema";
CREATE TABLE "Adv Schema"."Adv Table" ("Id" integer PRIMARY KEY, "Tenant" text NOT NULL, "Parent's" integer REFERENCES "Adv Schema"."Adv Table",
                                       "Since" timestamptz);
SELECT ffs_manage('"Adv Schema"."Adv Table"', 'scd2', tenant_column => 'Tenant', columns => '{"valid_from": "Since"}', stamps => false);
SELECT command FROM lacking ORDER BY of, number \gexec
SELECT count(*) FROM lacking;
ALTER TABLE adv OWNER TO regress_adv_owner;
ALTER TABLE adv_audited OWNER TO regress_adv_owner;
ALTER TABLE "Adv Schema"."Adv Table" OWNER TO regress_adv_owner;
GRANT USAGE, CREATE ON SCHEMA public, "Adv Schema" TO regress_adv_owner;
CREATE TABLE shape_before AS SELECT * FROM shape;
DO $$
DECLARE
    lost record;
BEGIN
    FOR lost IN SELECT i.indexrelid::regclass AS index
                FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                WHERE c.relname ~* '^adv.*(history|deleted|audit)$' AND NOT i.indisprimary
    LOOP
        EXECUTE format('DROP INDEX %s', lost.index);
    END LOOP;
END $$;
INSERT INTO adv_audited (id, part) VALUES (1, 'a');
SET ROLE regress_adv_owner;
SELECT index_on, status, reason, command FROM lacking ORDER BY of, number;
SELECT command FROM lacking ORDER BY of, number \gexec
RESET ROLE;
SELECT count(*) FROM lacking;
(TABLE shape EXCEPT TABLE shape_before) ORDER BY 2;
(TABLE shape_before EXCEPT TABLE shape) ORDER BY 2;
ALTER TABLE adv_history DROP CONSTRAINT adv_history_pkey;
DROP INDEX adv_history_ended;
ALTER TABLE adv_audited_audit DROP CONSTRAINT adv_audited_audit_pkey;
ALTER TABLE "Adv Schema"."Adv Table_history" DROP CONSTRAINT "Adv Table_history_pkey";
UPDATE adv_audited SET at = now();
SET ROLE regress_adv_owner;
SELECT index_on, status, reason, command FROM lacking ORDER BY of, number;
SELECT command FROM lacking ORDER BY of, number \gexec
RESET ROLE;
SELECT count(*) FROM lacking;
(TABLE shape EXCEPT TABLE shape_before) ORDER BY 2;
(TABLE shape_before EXCEPT TABLE shape) ORDER BY 2;
INSERT INTO adv_audited (id, part) VALUES (1, 'a');
SELECT relation, amiss FROM ffs_tables WHERE amiss IS NOT NULL;
-- ffs_manage() puts back what is lost, too, under another name where theirs is taken
DROP INDEX adv_audited_audit_ended, adv_audited_deleted_key;
CREATE VIEW adv_audited_deleted_key AS SELECT 1;
SELECT ffs_manage('adv_audited', 'copy_on_change', exclude => '{seen}', columns => '{"created_by": "Who"}', soft_delete => true);
SELECT * FROM ffs_index_advice('adv_audited');
SELECT definition FROM (TABLE shape EXCEPT TABLE shape_before) d;
DROP VIEW adv_audited_deleted_key;

-- indexes that are not valid
INSERT INTO adv_kinds VALUES ('x');
INSERT INTO adv SELECT md5(i::text)::uuid, 1, NULL, 'x' FROM generate_series(1, 2) i;
CREATE UNIQUE INDEX CONCURRENTLY adv_unique ON adv (kind, half(tenant_id));
SELECT index_on, status, reason, command FROM ffs_index_advice('adv');
UPDATE adv SET kind = NULL WHERE id = md5('1')::uuid;
CREATE INDEX "adv Twin" ON adv (tenant_id, id) WHERE id IS NOT NULL;
CREATE INDEX adv_twin ON adv (tenant_id, id) WHERE id IS NOT NULL;
UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('"adv Twin"'::regclass, 'adv_history_ended'::regclass);
SELECT index_on, status, reason, command FROM ffs_index_advice('adv');
SELECT command FROM ffs_index_advice('adv') \gexec
SELECT * FROM ffs_index_advice('adv');
SELECT indexrelid::regclass, indisvalid FROM pg_index
WHERE indrelid = 'adv'::regclass AND (indpred IS NOT NULL OR indexprs IS NOT NULL) ORDER BY indexrelid::regclass::text COLLATE "C";

-- partitions: one by one, then the whole finds their parts done
CREATE TABLE adv_parts (at integer NOT NULL, tenant_id integer NOT NULL, id integer NOT NULL, kind text REFERENCES adv_kinds,
                        PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
SELECT ffs_manage('adv_parts', 'none', tenant_column => 'tenant_id');
SELECT index_on, command FROM ffs_index_advice('adv_parts');
CREATE TABLE adv_parts_1 PARTITION OF adv_parts FOR VALUES FROM (0) TO (10);
CREATE TABLE adv_parts_2 PARTITION OF adv_parts FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (at);
CREATE TABLE adv_parts_21 (other integer, kind text, id integer NOT NULL, at integer NOT NULL, tenant_id integer NOT NULL);
ALTER TABLE adv_parts_21 DROP COLUMN other;
ALTER TABLE adv_parts_21 ADD COLUMN created_at timestamptz, ADD COLUMN created_by text, ADD COLUMN updated_at timestamptz, ADD COLUMN updated_by text;
ALTER TABLE adv_parts_2 ATTACH PARTITION adv_parts_21 FOR VALUES FROM (10) TO (15);
CREATE TABLE "Adv Parts" PARTITION OF adv_parts_2 FOR VALUES FROM (15) TO (20);
CREATE TABLE adv_customers_2 (id integer PRIMARY KEY);
ALTER TABLE "Adv Parts" ADD CONSTRAINT own FOREIGN KEY (id) REFERENCES adv_customers_2;
ALTER TABLE adv_parts_1 ADD CONSTRAINT own FOREIGN KEY (tenant_id) REFERENCES adv_customers_2;
CREATE INDEX ON adv_parts_1 (kind);
SELECT index_on, command FROM ffs_index_advice('adv_parts');
-- a partition stands for the whole
SELECT count(*) FROM ffs_index_advice('adv_parts_21');
SELECT command FROM ffs_index_advice('adv_parts') \gexec
SELECT * FROM ffs_index_advice('adv_parts');
SELECT inhparent::regclass, inhrelid::regclass FROM pg_inherits
WHERE inhparent IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'adv_parts'::regclass) ORDER BY inhrelid::regclass::text COLLATE "C";
-- where partitions have indexes of their own that serve, the whole gets none: it would build theirs again
DROP INDEX adv_parts_kind_idx;
CREATE INDEX ON adv_parts_1 (kind, at);
CREATE INDEX ON adv_parts_21 (kind);
SELECT index_on, command FROM ffs_index_advice('adv_parts');
SELECT command FROM ffs_index_advice('adv_parts') \gexec
SELECT * FROM ffs_index_advice('adv_parts');
-- half-way: an index of the whole whose partitions have no part of it yet
CREATE UNIQUE INDEX adv_whole ON ONLY adv_parts (at, half(tenant_id) DESC) INCLUDE (kind) NULLS NOT DISTINCT WHERE tenant_id > 1;
CREATE INDEX adv_whole_2 ON ONLY adv_parts (kind, tenant_id);
CREATE INDEX ON "Adv Parts" (kind, tenant_id);
SELECT index_on, status, command FROM ffs_index_advice('adv_parts');
SELECT command FROM ffs_index_advice('adv_parts') \gexec
SELECT * FROM ffs_index_advice('adv_parts');
SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relname ~* '^adv' AND NOT i.indisvalid;
UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('adv_whole'::regclass, '"Adv Parts_adv_whole"'::regclass);
SELECT index_on, status, command FROM ffs_index_advice('adv_parts');
SELECT command FROM ffs_index_advice('adv_parts') \gexec
SELECT * FROM ffs_index_advice('adv_parts');
SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relname ~* '^adv' AND NOT i.indisvalid;

-- no tenant column, no key, a key that begins with the tenant, keys that share columns
CREATE TABLE adv_plain (a integer, b integer, FOREIGN KEY (a) REFERENCES adv_customers_2);
SELECT ffs_manage('adv_plain');
SELECT command FROM ffs_index_advice('adv_plain');
CREATE TABLE adv_no_key (a integer, tenant_id integer NOT NULL, FOREIGN KEY (a, tenant_id) REFERENCES adv_customers,
                         FOREIGN KEY (a) REFERENCES adv_customers_2);
SELECT ffs_manage('adv_no_key', tenant_column => 'tenant_id');
SELECT command FROM ffs_index_advice('adv_no_key');
CREATE TABLE adv_first (a integer, tenant_id integer, b integer REFERENCES adv_customers_2, PRIMARY KEY (tenant_id, a));
SELECT ffs_manage('adv_first', tenant_column => 'tenant_id');
SELECT command FROM ffs_index_advice('adv_first');
SELECT command FROM lacking ORDER BY of, number \gexec
SELECT count(*) FROM lacking;

-- who may ask, and about what
SET ROLE regress_adv_reader;
SELECT count(*) FROM ffs_index_advice('adv');
RESET ROLE;
SET ROLE regress_adv_other;
SELECT * FROM ffs_index_advice('adv');
RESET ROLE;
GRANT SELECT (id) ON adv TO regress_adv_other;
SET ROLE regress_adv_other;
SELECT count(*) FROM ffs_index_advice('adv');
RESET ROLE;
SELECT * FROM ffs_index_advice('adv_kinds');
SELECT * FROM ffs_index_advice('adv_history');
SELECT * FROM ffs_index_advice(NULL);
SELECT * FROM ffs_index_advice(4294967295::oid::regclass);
CREATE TEMP TABLE adv_temp (id integer PRIMARY KEY);
SELECT * FROM ffs_index_advice('adv_temp');

DROP VIEW lacking, shape;
DROP FUNCTION page_plan, lacks_with;
SELECT ffs_unmanage_all();
DROP TABLE adv CASCADE;
SELECT format('DROP TABLE IF EXISTS %s CASCADE', oid::regclass) FROM pg_class
WHERE relkind IN ('r', 'p') AND relname ~* '^adv' AND NOT relispartition AND relpersistence = 'p' ORDER BY oid \gexec
DROP SCHEMA "Adv Schema";
DROP TABLE shape_before;
DROP FUNCTION half;
DROP OWNED BY regress_adv_owner, regress_adv_other;
DROP ROLE regress_adv_owner, regress_adv_reader, regress_adv_other;
DROP EXTENSION ffstorage;
