/* ---- temporal: reading the past ---- */

CREATE FUNCTION ffs_history(
    relation regclass, VARIADIC key "any",
    OUT version integer, OUT operation text, OUT valid_from timestamptz, OUT valid_to timestamptz,
    OUT changed_by text, OUT transaction_id xid8, OUT changes jsonb, OUT row_data jsonb, OUT metadata jsonb)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ffs_history(regclass, VARIADIC "any") IS
'one row''s life, oldest first, for strategies scd2 and copy_on_change: relation is a managed table, key a typed value for each column of its primary key. A line for each version and each deletion; key changes are followed both ways. changes holds {"field": {"old": .., "new": ..}} against the version before; row_data the row then. Errors: not_managed, as_of_unavailable (strategy none), key_missing, 42501 (no right to read the history)';

CREATE FUNCTION ffs_history(
    relation regclass, key text,
    OUT version integer, OUT operation text, OUT valid_from timestamptz, OUT valid_to timestamptz,
    OUT changed_by text, OUT transaction_id xid8, OUT changes jsonb, OUT row_data jsonb, OUT metadata jsonb)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ffs_history(regclass, text) IS
'one row''s life, for a key of one column that is given as text; see ffs_history(regclass, VARIADIC "any")';

CREATE FUNCTION ffs_history(
    relation regclass, key jsonb,
    OUT version integer, OUT operation text, OUT valid_from timestamptz, OUT valid_to timestamptz,
    OUT changed_by text, OUT transaction_id xid8, OUT changes jsonb, OUT row_data jsonb, OUT metadata jsonb)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE c STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION ffs_history(regclass, jsonb) IS
'one row''s life, for a key that is given as a jsonb object of its columns; see ffs_history(regclass, VARIADIC "any")';

CREATE FUNCTION ffs_row_at(table_row anyelement, moment timestamptz, VARIADIC key "any")
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME' LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION ffs_row_at(anyelement, timestamptz, VARIADIC "any") IS
'the row of a managed table as it was at a moment, or none: table_row is NULL::table_name, key a typed value for each column of its primary key. With copy_on_change the row is built again from its audit entries. Errors: not_managed, as_of_unavailable (strategy none), key_missing, 42501 (no right to read the history)';

CREATE FUNCTION ffs_row_at(table_row anyelement, moment timestamptz, key text)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME' LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION ffs_row_at(anyelement, timestamptz, text) IS
'the row as it was at a moment, for a key of one column that is given as text; see ffs_row_at(anyelement, timestamptz, VARIADIC "any")';

CREATE FUNCTION ffs_row_at(table_row anyelement, moment timestamptz, key jsonb)
RETURNS SETOF anyelement
AS 'MODULE_PATHNAME' LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION ffs_row_at(anyelement, timestamptz, jsonb) IS
'the row as it was at a moment, for a key that is given as a jsonb object of its columns; see ffs_row_at(anyelement, timestamptz, VARIADIC "any")';
