-- What users script against is there, said in words, and safe to call.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS ffstorage;
SELECT no_plan();

CREATE TEMP VIEW ours AS
    SELECT classid, objid FROM pg_depend
     WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
       AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ffstorage');
CREATE TEMP VIEW our_functions AS
    SELECT p.* FROM ours JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid;
CREATE TEMP VIEW our_relations AS
    SELECT c.* FROM ours JOIN pg_class c ON classid = 'pg_class'::regclass AND objid = c.oid;

-- comments
SELECT is_empty($$SELECT oid::regprocedure FROM our_functions WHERE obj_description(oid, 'pg_proc') IS NULL$$, 'every function has a comment');
SELECT is_empty($$SELECT relname FROM our_relations WHERE relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL$$, 'every table and view has a comment');
SELECT is_empty($$SELECT e.evtname FROM ours JOIN pg_event_trigger e ON classid = 'pg_event_trigger'::regclass AND objid = e.oid
                   WHERE obj_description(e.oid, 'pg_event_trigger') IS NULL$$, 'every event trigger has a comment');
SELECT isnt(obj_description('ffstorage'::regnamespace, 'pg_namespace'), NULL, 'the schema has a comment');

-- safety
SELECT is_empty($$SELECT oid::regprocedure FROM our_functions WHERE prosecdef AND NOT coalesce(proconfig::text ~ 'search_path', false)$$, 'no SECURITY DEFINER function without a search path');
SELECT is_empty($$SELECT f.oid::regprocedure FROM our_functions f JOIN pg_language l ON l.oid = f.prolang
                   WHERE l.lanname <> 'c' AND NOT coalesce(f.proconfig::text ~ 'search_path', false)
                     AND pg_get_functiondef(f.oid) !~* 'pg_catalog|(return|select) true'$$, 'functions in SQL pin their search path or qualify every name');
SELECT is_empty($$SELECT relname FROM our_relations, aclexplode(relacl) a WHERE a.grantee = 0 AND (relkind = 'r' OR a.privilege_type <> 'SELECT')$$, 'PUBLIC may read views, and nothing else');
SELECT ok(NOT has_function_privilege('public', 'ffs_set_all_tenants()', 'EXECUTE'), 'all tenants: only for who was granted it');
SELECT ok(NOT has_function_privilege('public', 'ffs_stats_reset()', 'EXECUTE'), 'resetting figures: only for who was granted it');
SELECT is_empty($$SELECT oid::regprocedure FROM our_functions
                   WHERE proname ~ '^(ffs_tenants?|tenants?_|all_tenants|stamp_)' AND pronargs = 0 AND prorettype <> 'void'::regtype
                     AND (provolatile <> 's' OR proparallel <> 'r')$$, 'what depends on the transaction is stable and parallel restricted');
SELECT is_empty($$SELECT oid::regprocedure FROM our_functions WHERE provolatile = 'i' AND proname ~ 'tenant|stamp|^ffs_'$$, 'nothing that depends on the transaction is immutable');

-- the calls, with the names of their parameters
SELECT is((SELECT proargnames FROM our_functions WHERE proname = 'ffs_manage'), '{relation,strategy,tenant_column,soft_delete,exclude,stamps,columns}'::text[], 'ffs_manage: parameters');
SELECT has_function('ffs_unmanage', ARRAY['regclass', 'boolean']);
SELECT has_function('ffs_unmanage_all');
SELECT is((SELECT proargnames FROM our_functions WHERE proname = 'ffs_index_advice'), '{relation,index_on,status,reason,command}'::text[], 'ffs_index_advice: parameter and result');
SELECT has_function('ffs_set_tenant', ARRAY['text', 'text']);
SELECT has_function('ffs_set_tenants', ARRAY['text[]']);
SELECT has_function('ffs_set_actor', ARRAY['text', 'jsonb']);
SELECT is((SELECT proargnames FROM our_functions WHERE proname = 'ffs_create_many'),
          '{relation,rows,on_conflict,on_error,batch_size,conflict_columns,row_number,action,key,sqlstate,message}'::text[], 'ffs_create_many: parameters and result');
SELECT has_function('ffs_create', ARRAY['regclass', 'jsonb']);
SELECT has_function('ffs_get_many', ARRAY['anyelement', 'anycompatiblearray']);
SELECT is((SELECT proargnames FROM our_functions WHERE proname = 'ffs_list'), '{table_row,filter,order_by,max_rows,skip_rows}'::text[], 'ffs_list: parameters');
SELECT is((SELECT proargnames FROM our_functions WHERE proname = 'ffs_count'), '{relation,filter}'::text[], 'ffs_count: parameters');
SELECT is((SELECT proargnames FROM our_functions WHERE proname = f), ARRAY['relation', a, 'on_error', 'batch_size', 'row_number', 'action', 'key', 'sqlstate', 'message'], f || ': parameters and result')
  FROM (VALUES ('ffs_update_many', 'patches'), ('ffs_delete_many', 'keys'), ('ffs_restore_many', 'keys')) v (f, a);
SELECT has_function('ffs_update', ARRAY['regclass', 'jsonb', 'integer']);
SELECT set_eq($$SELECT proname::text, count(*) FROM our_functions WHERE proname IN ('ffs_get', 'ffs_delete', 'ffs_restore', 'ffs_history', 'ffs_row_at') GROUP BY 1$$,
              $$VALUES ('ffs_get', 3::bigint), ('ffs_delete', 3), ('ffs_restore', 3), ('ffs_history', 3), ('ffs_row_at', 3)$$, 'keys come as values, as text or as jsonb');
SELECT has_view(v) FROM unnest(ARRAY['ffs_tables', 'ffs_transactions', 'ffs_stats', 'ffs_stat_operations', 'ffs_health', 'ffs_errors']) v;
SELECT columns_are('ffs_errors', ARRAY['sqlstate', 'condition', 'meaning', 'remedy']);
SELECT columns_are('ffs_stats', ARRAY['component', 'relation', 'metric', 'value', 'unit', 'status', 'hint']);
SELECT columns_are('ffs_health', ARRAY['check_name', 'status', 'message', 'details', 'hint', 'duration_ms']);
SELECT columns_are('ffs_transactions', ARRAY['transaction_id', 'at', 'actor', 'metadata', 'traceparent', 'session_user', 'application_name']);

-- errors
SELECT is_empty($$SELECT w FROM unnest(string_to_array('tenant_not_set tenant_violation tenant_pinned tenant_token_invalid version_conflict row_not_found row_deleted not_managed key_missing history_read_only as_of_read_only history_out_of_step query_timeout breaker_open too_many_running retries_exhausted unsafe_query unsafe_identifier batch_rejected cache_unavailable unsupported_relation tenant_column_invalid name_taken as_of_unavailable', ' ')) w
                  EXCEPT SELECT condition FROM ffs_errors$$, 'every condition is in ffs_errors');
SELECT is_empty($$SELECT * FROM ffs_errors WHERE sqlstate !~ '^ZF[0-9A-Z]{3}$' OR meaning !~ '\.$' OR remedy !~ '\.$'$$, 'each with a SQLSTATE of our class, a meaning and a remedy');
SELECT is((SELECT count(*) FROM ffs_errors), (SELECT count(DISTINCT sqlstate) FROM ffs_errors), 'no SQLSTATE twice');

-- what a table gets
CREATE TABLE api (id integer PRIMARY KEY, tenant_id uuid NOT NULL, v numeric);
SELECT lives_ok($$SELECT ffs_manage('api', strategy => 'scd2', tenant_column => 'tenant_id', soft_delete => true)$$, 'a table goes under management');
SELECT columns_are('api', ARRAY['id', 'tenant_id', 'v', 'created_at', 'created_by', 'updated_at', 'updated_by', 'version', 'valid_from', 'transaction_id']);
SELECT columns_are('api_history', ARRAY['id', 'tenant_id', 'v', 'created_at', 'created_by', 'updated_at', 'updated_by', 'version', 'valid_from', 'transaction_id',
                                        'valid_to', 'end_operation', 'ended_by', 'end_transaction_id']);
SELECT col_is_pk('api_history', ARRAY['id', 'valid_from']);
SELECT columns_are('api_deleted', ARRAY['id', 'tenant_id', 'v', 'created_at', 'created_by', 'updated_at', 'updated_by', 'version', 'valid_from', 'transaction_id',
                                        'deleted_at', 'deleted_by', 'delete_transaction_id']);
SELECT has_column('api_versions', 'is_current');
SELECT has_view('api_with_deleted');
SELECT has_function('api_as_of', ARRAY['timestamptz']);
SELECT has_function('api_between', ARRAY['timestamptz', 'timestamptz']);
CREATE TABLE api2 (id integer PRIMARY KEY, v numeric);
SELECT lives_ok($$SELECT ffs_manage('api2', 'copy_on_change')$$, 'another one');
SELECT columns_are('api2_audit', ARRAY['entry_id', 'id', 'operation', 'field_name', 'old_value', 'new_value', 'changed_at', 'changed_by', 'transaction_id']);
SELECT throws_ok($$SELECT ffs_manage('api2', 'sometimes')$$, '22023', NULL, 'a strategy that is none');
SELECT throws_ok($$SELECT ffs_manage('pg_class')$$, 'ZF026', NULL, 'a catalog');
SELECT throws_ok($$SELECT ffs_create('pg_class', '{}')$$, 'ZF020', NULL, 'a table that is not managed');
SELECT throws_ok($$DROP EXTENSION ffstorage$$, '2BP01', NULL, 'DROP EXTENSION while tables are managed');
SELECT is(ffs_unmanage_all(), 2, 'all of it comes out again');
SELECT columns_are('api_history', ARRAY['id', 'tenant_id', 'v', 'created_at', 'created_by', 'updated_at', 'updated_by', 'version', 'valid_from', 'transaction_id',
                                        'valid_to', 'end_operation', 'ended_by', 'end_transaction_id'], 'history stays');
DROP VIEW our_relations, our_functions, ours;
SELECT lives_ok($$DROP EXTENSION ffstorage$$, 'and so the extension can go');
SELECT * FROM finish();
ROLLBACK;
