-- @row UPDATE of 100,000 rows in one statement, copy_on_change, 3 fields changed
-- @per :half row
-- @target ffstorage <= 2.4
-- @setup
SELECT bench_table();
-- @fill
SELECT bench_fill(:rows, :tenants);
-- @run
UPDATE t SET value = value + 1, customer = customer || '.', due = due + interval '1 day' WHERE status = 'open';
-- @after
SELECT bench_clean();

-- @case unmanaged

-- @case by hand
-- @manage
CREATE TABLE t_audit (entry_id bigserial PRIMARY KEY, id uuid, field_name text, old_value jsonb, new_value jsonb,
                      changed_at timestamptz DEFAULT now());
CREATE INDEX ON t_audit (id, entry_id);
CREATE INDEX ON t_audit (changed_at);
-- @check
SELECT count(*) = 3 * :half FROM t_audit
-- @run
WITH before AS (SELECT * FROM t WHERE status = 'open'),
     after AS (UPDATE t SET value = value + 1, customer = customer || '.', due = due + interval '1 day' WHERE status = 'open' RETURNING *)
INSERT INTO t_audit (id, field_name, old_value, new_value)
SELECT id, f.name, f.old, f.new
FROM before JOIN after USING (id),
     LATERAL (VALUES ('tenant_id', to_jsonb(before.tenant_id), to_jsonb(after.tenant_id)),
                     ('customer', to_jsonb(before.customer), to_jsonb(after.customer)),
                     ('status', to_jsonb(before.status), to_jsonb(after.status)),
                     ('value', to_jsonb(before.value), to_jsonb(after.value)),
                     ('due', to_jsonb(before.due), to_jsonb(after.due)),
                     ('note', to_jsonb(before.note), to_jsonb(after.note))) f (name, old, new)
WHERE f.old IS DISTINCT FROM f.new;

-- @case ffstorage
-- @manage
SELECT ffs_manage('t', strategy => 'copy_on_change');
-- @check
SELECT count(*) = 3 * :half FROM t_audit WHERE operation = 'update'
