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

CREATE FUNCTION ffstorage.may_read(managed regclass)
RETURNS boolean LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.may_read(regclass) IS
'for policies on what stands beside a table: true where the current role may SELECT the whole table and no policy of the table''s own binds it. Errors: 42501 otherwise';
