/* ---- registry: putting tables under management ---- */

CREATE FUNCTION ffs_manage(relation regclass, strategy text DEFAULT 'none', tenant_column name DEFAULT NULL,
                           soft_delete boolean DEFAULT false, exclude name[] DEFAULT '{}',
                           stamps boolean DEFAULT true, columns jsonb DEFAULT '{}')
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_manage(regclass, text, name, boolean, name[], boolean, jsonb) IS
'puts a table under management, or changes how it is managed. strategy: none, copy_on_change or scd2; tenant_column: says whose a row is; soft_delete: keep deleted rows; exclude: columns whose change does not count; stamps: have created_at, created_by, updated_at, updated_by; columns: our names to columns that are there. Only the owner of the table may. Errors: 42501, unsupported_relation, key_missing, tenant_column_invalid, name_taken, 42804, 42703, 22023';

CREATE FUNCTION ffs_unmanage(relation regclass, keep_history boolean DEFAULT true)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_unmanage(regclass, boolean) IS
'takes a table out of management: row-level security and defaults as they were found; what stood beside it stays as plain tables, or goes with keep_history => false. Only the owner of the table may. Errors: 42501, not_managed';

CREATE FUNCTION ffs_unmanage_all()
RETURNS integer LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_unmanage_all() IS
'takes every managed table of this database out, history kept, and gives their number; DROP EXTENSION ffstorage works then. The caller must own all of them. Errors: 42501';

CREATE FUNCTION ffs_index_advice(relation regclass)
RETURNS TABLE (index_on regclass, status text, reason text, command text)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_index_advice(regclass) IS
'the indexes that a managed table, its partitions and what stands beside it lack (status missing) or have in vain (invalid): what each is for, and the command that mends it, in the order in which to run them; no rows where nothing is lacking. For roles that own the table or may SELECT from it, and pg_monitor. Errors: 42501, not_managed, 22004';

CREATE FUNCTION ffstorage.may_read(managed regclass)
RETURNS boolean LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.may_read(regclass) IS
'for policies on what stands beside a table: true where the current role may SELECT the whole table and no policy of the table''s own binds it. Errors: 42501 otherwise';

CREATE FUNCTION ffstorage.amiss(managed regclass)
RETURNS text LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.amiss(regclass) IS
'what is missing or out of step on a managed table, as sentences; NULL if nothing is, if the table is not managed, or if the caller may not know';

CREATE VIEW ffs_tables WITH (security_barrier = true) AS
SELECT m.relation, m.strategy, m.tenant_column, m.soft_delete, m.exclude, m.stamps, m.columns,
       m.history, m.audit, m.deleted, m.versions, m.with_deleted,
       m.as_of_function, m.between_function,
       (SELECT pg_catalog.sum(GREATEST(b.reltuples, 0))::bigint FROM pg_catalog.pg_class b
        WHERE b.oid IN (m.history, m.audit, m.deleted)) AS history_rows,
       (CASE WHEN m.history IS NULL THEN 0 ELSE ffstorage.relation_bytes(m.history) END
        + CASE WHEN m.audit IS NULL THEN 0 ELSE ffstorage.relation_bytes(m.audit) END
        + CASE WHEN m.deleted IS NULL THEN 0 ELSE ffstorage.relation_bytes(m.deleted) END) AS history_bytes,
       m.managed_at,
       ffstorage.amiss(m.relation) AS amiss
FROM ffstorage.managed m
WHERE pg_catalog.has_table_privilege(m.relation, 'SELECT')
   OR pg_catalog.has_any_column_privilege(m.relation, 'SELECT')
   OR pg_catalog.pg_has_role('pg_monitor', 'USAGE')
   OR EXISTS (SELECT 1 FROM pg_catalog.pg_class c
              WHERE c.oid = m.relation AND pg_catalog.pg_has_role(c.relowner, 'USAGE'));
COMMENT ON VIEW ffs_tables IS
'what is managed and how: the words given to ffs_manage(), what stands beside each table, estimated rows and bytes of its past (NULL while another session has it locked), and what is amiss (NULL if nothing); tables that one owns or may SELECT';
GRANT SELECT ON ffs_tables TO PUBLIC;
