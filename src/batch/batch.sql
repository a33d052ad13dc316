/* ---- batch: rows by key, and many at a time ---- */

/* What the INSERTs of ffs_create_many() ask about the row at hand. */
CREATE FUNCTION ffstorage.batch_conflict() RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.batch_conflict() IS
'notes that the row which a batch is writing met a conflict and will be updated; always true';

CREATE FUNCTION ffstorage.batch_given(attribute integer) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.batch_given(integer) IS
'whether the row which a batch is writing names the column of that number; false outside a batch';

CREATE FUNCTION ffs_create_many(
    relation         regclass,
    rows             jsonb,
    on_conflict      text DEFAULT 'error',
    on_error         text DEFAULT 'abort',
    batch_size       integer DEFAULT 1000,
    conflict_columns name[] DEFAULT NULL,
    OUT row_number   integer,
    OUT action       text,
    OUT key          jsonb,
    OUT sqlstate     text,
    OUT message      text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_create_many(regclass, jsonb, text, text, integer, name[]) IS
'creates a row for each object of a jsonb array: an absent member takes the column''s default, null is NULL, stamp columns are ignored; on_conflict (on the primary key or conflict_columns) is error, skip or update, on_error abort or report; gives a row per input row, in order, action being inserted, updated, skipped or rejected; errors: not_managed, 22023 for rows that are no array, 42501, and with on_error abort the first bad row''s own';

CREATE FUNCTION ffs_create_records(
    records          anyarray,
    on_conflict      text DEFAULT 'error',
    on_error         text DEFAULT 'abort',
    batch_size       integer DEFAULT 1000,
    conflict_columns name[] DEFAULT NULL,
    OUT row_number   integer,
    OUT action       text,
    OUT key          jsonb,
    OUT sqlstate     text,
    OUT message      text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_create_records(anyarray, text, text, integer, name[]) IS
'creates a row for each element of an array of a managed table''s row type: every column counts, a NULL takes the default in NOT NULL columns that have one and in identity, generated, tenant and stamp columns; values of stamp columns are ignored; the other arguments and the result as of ffs_create_many; errors: not_managed, 42804 for an array of another type, 2202E for one of several dimensions, 22004, 42501, and with on_error abort the first bad row''s own';

CREATE FUNCTION ffs_create(relation regclass, data jsonb) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_create(regclass, jsonb) IS
'creates a row from a jsonb object (an absent member takes the column''s default, null is NULL, stamp columns are ignored); gives the row as stored, of the columns that the caller may read, or NULL where a trigger kept it out; errors: not_managed, 42703, 42501, 428C9, and those of the INSERT';

CREATE FUNCTION ffs_get(table_row anyelement, VARIADIC key "any") RETURNS SETOF anyelement
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 1 AS 'MODULE_PATHNAME';
CREATE FUNCTION ffs_get(table_row anyelement, key text) RETURNS SETOF anyelement
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 1 AS 'MODULE_PATHNAME';
CREATE FUNCTION ffs_get(table_row anyelement, key jsonb) RETURNS SETOF anyelement
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 1 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_get(anyelement, VARIADIC "any") IS
'the row of a managed table with this key, or none: NULL::table_name, then one value for each key column; errors: not_managed, key_missing, 42804, 42501';
COMMENT ON FUNCTION ffs_get(anyelement, text) IS
'the row of a managed table with this key, or none: NULL::table_name, then the value of a key of one column as text; errors: not_managed, key_missing, 22P02, 42501';
COMMENT ON FUNCTION ffs_get(anyelement, jsonb) IS
'the row of a managed table with this key, or none: NULL::table_name, then an object with a member for each key column; errors: not_managed, key_missing, 42703, 22P02, 42501';

CREATE FUNCTION ffs_get_many(table_row anyelement, keys anycompatiblearray) RETURNS SETOF anyelement
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_get_many(anyelement, anycompatiblearray) IS
'the rows of a managed table with these keys, in the order of the keys, those that are there: NULL::table_name, then an array of the key''s type, text[] (for keys of one column), or jsonb[] of objects; errors: not_managed, key_missing, 42804, 22P02, 42501';

CREATE FUNCTION ffs_list(
    table_row anyelement,
    filter    jsonb DEFAULT NULL,
    order_by  text DEFAULT NULL,
    max_rows  integer DEFAULT NULL,
    skip_rows integer DEFAULT NULL)
RETURNS SETOF anyelement
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_list(anyelement, jsonb, text, integer, integer) IS
'the rows of a managed table that a filter asks for: NULL::table_name, then an object of columns with the values that they equal or with operators and operands ({"value": {">=": 10}}; also and, or, not), an order like ''value DESC NULLS LAST, id'' (without one, and with max_rows or skip_rows, by primary key), at most so many rows after so many others; NULL: all; errors: not_managed, 42703, 42883 for an operator that the column has not, 22023 and 22004 for operands, 42601 for order_by, 22P02 and its like, 42501';

CREATE FUNCTION ffs_count(relation regclass, filter jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_count(regclass, jsonb) IS
'how many rows of a managed table a filter asks for, as ffs_list reads it; NULL: all; errors as of ffs_list';

CREATE FUNCTION ffs_update(relation regclass, patch jsonb, expected_version integer DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_update(regclass, jsonb, integer) IS
'changes the row whose key columns the object names to the object''s other members (absent: unchanged, null: NULL, stamp columns are ignored); gives the row as stored, of the columns that the caller may read; errors: not_managed, key_missing, row_not_found, row_deleted, version_conflict (the version found is in DETAIL), 22023 where the table has no versions, 42703, 42501';

CREATE FUNCTION ffs_delete(relation regclass, VARIADIC key "any") RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION ffs_delete(relation regclass, key text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION ffs_delete(relation regclass, key jsonb) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_delete(regclass, VARIADIC "any") IS
'deletes the row with this key, one value for each key column; whether there was one; errors: not_managed, key_missing, 42804, 42501, and those of the DELETE';
COMMENT ON FUNCTION ffs_delete(regclass, text) IS
'deletes the row with this key, the value of a key of one column as text; whether there was one; errors: not_managed, key_missing, 22P02, 42501, and those of the DELETE';
COMMENT ON FUNCTION ffs_delete(regclass, jsonb) IS
'deletes the row with this key, an object with a member for each key column and, if wanted, expected_version; whether there was one; errors: not_managed, key_missing, version_conflict, 22023, 42501, and those of the DELETE';

CREATE FUNCTION ffs_restore(relation regclass, VARIADIC key "any") RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION ffs_restore(relation regclass, key text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION ffs_restore(relation regclass, key jsonb) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_restore(regclass, VARIADIC "any") IS
'brings back the soft-deleted row with this key, one value for each key column, as it was; whether there was one; errors: not_managed, key_missing, 55000 where the table keeps no deleted rows, 23505 where the key or a unique value is taken, 42501, and those of the INSERT';
COMMENT ON FUNCTION ffs_restore(regclass, text) IS
'brings back the soft-deleted row with this key, the value of a key of one column as text, as it was; whether there was one; errors as of the form with typed values, and 22P02';
COMMENT ON FUNCTION ffs_restore(regclass, jsonb) IS
'brings back the soft-deleted row with this key, an object with a member for each key column and, if wanted, expected_version, and "cascade": true for the rows that the same transaction deleted by cascade too; whether there was one; errors as of the form with typed values, and version_conflict';

CREATE FUNCTION ffs_update_many(
    relation       regclass,
    patches        jsonb,
    on_error       text DEFAULT 'abort',
    batch_size     integer DEFAULT 1000,
    OUT row_number integer,
    OUT action     text,
    OUT key        jsonb,
    OUT sqlstate   text,
    OUT message    text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_update_many(regclass, jsonb, text, integer) IS
'changes a row for each object of a jsonb array: the members that are key columns say which, expected_version at which version, the others to what (absent: unchanged, null: NULL, stamp columns are ignored); a key that comes twice in a call is rejected with 21000 the second time; on_error is abort (the whole call, naming the row) or report; gives a row per element, in order, action being updated or rejected; errors: not_managed, key_missing, 22023 for what is no array, 42501, and with on_error abort the first bad row''s own: row_not_found, row_deleted, version_conflict, and those of the UPDATE';

CREATE FUNCTION ffs_delete_many(
    relation       regclass,
    keys           jsonb,
    on_error       text DEFAULT 'abort',
    batch_size     integer DEFAULT 1000,
    OUT row_number integer,
    OUT action     text,
    OUT key        jsonb,
    OUT sqlstate   text,
    OUT message    text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_delete_many(regclass, jsonb, text, integer) IS
'deletes the row of each key of a jsonb array: objects with a member for each key column and, if wanted, expected_version, or bare values for a key of one column; a key that comes twice in a call is rejected with 21000 the second time; on_error is abort (the whole call, naming the row) or report; gives a row per element, in order, action being deleted, skipped where there is no such row, or rejected; errors: not_managed, key_missing, 22023 for what is no array, 42501, and with on_error abort the first bad row''s own: version_conflict, and those of the DELETE';

CREATE FUNCTION ffs_restore_many(
    relation       regclass,
    keys           jsonb,
    on_error       text DEFAULT 'abort',
    batch_size     integer DEFAULT 1000,
    OUT row_number integer,
    OUT action     text,
    OUT key        jsonb,
    OUT sqlstate   text,
    OUT message    text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_restore_many(regclass, jsonb, text, integer) IS
'brings back the soft-deleted row of each key of a jsonb array: objects with a member for each key column and, if wanted, expected_version, and "cascade": true for the rows that the same transaction deleted by cascade too, or bare values for a key of one column; a key that comes twice in a call is rejected with 21000 the second time; on_error is abort (the whole call, naming the row) or report; gives a row per element, in order, action being restored, skipped where there is no such row, or rejected; errors: not_managed, key_missing, 22023 for what is no array, 42501, 55000 where the table keeps no deleted rows, and with on_error abort the first bad row''s own: version_conflict, 23505 where a key or a unique value is taken, and those of the INSERT';
