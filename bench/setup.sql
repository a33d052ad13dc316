-- What every case of the bench starts from: one shape of table, and the rows
-- that go into it.  Each case has a schema of its own, in which the table is t.
CREATE EXTENSION ffstorage;
CREATE ROLE app;

-- Rows first..last: random-looking keys, tenants in turn, about 300 bytes.
CREATE FUNCTION public.bench_rows(first integer, last integer, tenants integer)
RETURNS TABLE (id uuid, tenant_id uuid, customer text, status text, value numeric, due timestamptz, note text)
LANGUAGE sql STABLE AS $$
    SELECT md5('row ' || n)::uuid, md5('tenant ' || n % tenants)::uuid, 'customer ' || n,
           CASE n / tenants % 2 WHEN 0 THEN 'open' ELSE 'closed' END, (n % 1000)::numeric,
           timestamptz '2026-01-01' + n * interval '1 minute', repeat(md5(n::text), 6)
    FROM generate_series(first, last) n
$$;

-- The empty table, in the schema of the case.
CREATE FUNCTION public.bench_table() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE t (id uuid PRIMARY KEY, tenant_id uuid NOT NULL, customer text NOT NULL, status text, value numeric,
                    due timestamptz, note text);
    CREATE INDEX ON t (tenant_id);
END
$$;

-- Fills it with rows 1..last, past all triggers, and lets the application in.
CREATE FUNCTION public.bench_fill(last integer, tenants integer) RETURNS void
LANGUAGE plpgsql SET session_replication_role = replica AS $$
BEGIN
    INSERT INTO t (id, tenant_id, customer, status, value, due, note) SELECT * FROM public.bench_rows(1, last, tenants);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO app', current_schema);
    EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO app', current_schema);
END
$$;

-- Keys to look up: of all rows, in no order, and 1,000 of one tenant's.
CREATE FUNCTION public.bench_keys(last integer, tenants integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE keys AS
        SELECT array_agg(md5('row ' || 1 + n::bigint * 7919 % last)::uuid) AS keys,
               array_agg(md5('row ' || tenants * (1 + n % (last / tenants)))::uuid) FILTER (WHERE n <= 1000) AS own
        FROM generate_series(1, last) n;
    GRANT SELECT ON keys TO app;
END
$$;

-- Empties what stands beside it, past all triggers.
CREATE FUNCTION public.bench_clean() RETURNS void
LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE
    beside text;
BEGIN
    FOREACH beside IN ARRAY '{t_history,t_audit,t_deleted}'::text[] LOOP
        IF to_regclass(beside) IS NOT NULL THEN
            EXECUTE format('TRUNCATE %I', beside);
        END IF;
    END LOOP;
END
$$;

-- Takes rows first..last out again, past all triggers.
CREATE FUNCTION public.bench_remove(first integer, last integer) RETURNS void
LANGUAGE plpgsql SET session_replication_role = replica AS $$
BEGIN
    DELETE FROM t USING generate_series(first, last) n WHERE t.id = md5('row ' || n)::uuid;
END
$$;

-- Gives each row of t (scd2) versions / rows closed versions, written as time goes by:
-- one in each ten days from 2020 on, every row at a moment of its own.
CREATE FUNCTION public.bench_past(versions integer, rows integer) RETURNS void
LANGUAGE plpgsql SET session_replication_role = replica AS $$
BEGIN
    INSERT INTO t_history (id, tenant_id, customer, status, value, due, note, created_at, created_by, updated_at, updated_by,
                           version, valid_from, transaction_id, valid_to, end_operation, ended_by, end_transaction_id)
    SELECT id, tenant_id, customer, status, value + k, due, note, created_at, created_by, updated_at, updated_by,
           k, began + (k - 1) * interval '10 days', transaction_id,
           CASE WHEN k < versions / rows THEN began + k * interval '10 days' ELSE valid_from END,
           'update', updated_by, transaction_id
    FROM (SELECT *, timestamptz '2020-01-01' + (hashtext(id::text) & 65535) * interval '13 seconds' AS began FROM t) r,
         generate_series(1, versions / rows) k
    ORDER BY k, began;
END
$$;
