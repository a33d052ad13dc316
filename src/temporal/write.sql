/* ---- temporal: writing the past ---- */

CREATE FUNCTION ffs_set_actor(actor text, metadata jsonb DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_set_actor(text, jsonb) IS
'says who writes, and why, for the rest of this transaction: the actor goes into the rows and what stands beside them, metadata (a JSON object) into ffs_transactions. Errors: 22004 for a null actor, 22023 for an empty one or other metadata';

CREATE VIEW ffs_transactions WITH (security_barrier = true) AS
SELECT t.transaction_id, t.at, t.actor, t.metadata, t.traceparent, t."session_user", t.application_name
FROM ffstorage.transactions t
WHERE (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER)
   OR (t."session_user" OPERATOR(pg_catalog.=) SESSION_USER
       AND ((SELECT ffstorage.all_tenants())
            OR NOT t.all_tenants
               AND COALESCE(t.tenants, '{}') OPERATOR(pg_catalog.<@) COALESCE((SELECT @extschema@.ffs_tenants()), '{}')));
COMMENT ON VIEW ffs_transactions IS
'one row for each writing transaction that had something to say: who wrote (actor), why (metadata), under which trace. A role sees the transactions of its own sessions, of no other tenant than those that are set; superusers and BYPASSRLS roles see all';
GRANT SELECT ON ffs_transactions TO PUBLIC;

/* What triggers, column defaults and WHEN clauses call. */

CREATE FUNCTION ffstorage.row_change() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.row_change() IS
'BEFORE ROW trigger of managed tables: checks the tenant, stamps the row, and keeps what it was';

CREATE FUNCTION ffstorage.row_inserted() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.row_inserted() IS
'AFTER INSERT ROW trigger of managed tables: only its WHEN clause works, the trigger itself never fires';

CREATE FUNCTION ffstorage.row_replicated() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.row_replicated() IS
'BEFORE ROW trigger of managed tables that fires only where session_replication_role is replica: tells the cache which rows change';

CREATE FUNCTION ffstorage.is_new_row() RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.is_new_row() IS
'for the WHEN clause of the AFTER INSERT trigger: counts the row that has just gone in; always false';

CREATE FUNCTION ffstorage.is_new_row(record) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'is_new_row_audited';
COMMENT ON FUNCTION ffstorage.is_new_row(record) IS
'for the WHEN clause of the AFTER INSERT trigger of copy_on_change tables, called with NEW.*: counts the row that has just gone in and writes its audit entry; always false';

CREATE FUNCTION ffstorage.statement_begin() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.statement_begin() IS
'BEFORE STATEMENT trigger of managed tables and their partitions: no write without a tenant where the table has one';

CREATE FUNCTION ffstorage.statement_end() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.statement_end() IS
'AFTER STATEMENT trigger of managed tables and their partitions: writes out what the row triggers kept';

CREATE FUNCTION ffstorage.table_truncate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.table_truncate() IS
'BEFORE TRUNCATE trigger of managed tables and their partitions: every row ends, none is lost';

CREATE FUNCTION ffstorage.side_read_only() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.side_read_only() IS
'BEFORE STATEMENT trigger of what stands beside a managed table: error history_read_only (ZF022) for all but superusers';

CREATE FUNCTION ffstorage.stamp_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.stamp_time() IS
'the one time with which this transaction stamps what it writes: the clock at its first write to a managed table';

CREATE FUNCTION ffstorage.stamp_xid() RETURNS xid8
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.stamp_xid() IS
'this transaction''s id';

CREATE FUNCTION ffstorage.stamp_actor() RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.stamp_actor() IS
'who writes: ffs_set_actor(), else the setting ffstorage.actor, else the session''s user';
