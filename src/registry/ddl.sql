/* ---- registry: schema changes followed ---- */

CREATE FUNCTION ffstorage.ddl_start() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.ddl_start() IS
'event trigger function: refuses schema changes that a managed table cannot follow, and clears views of ours out of the way of others';

CREATE FUNCTION ffstorage.ddl_end() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.ddl_end() IS
'event trigger function: carries schema changes of a managed table over to what stands beside it';

CREATE FUNCTION ffstorage.ddl_drop() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.ddl_drop() IS
'event trigger function: forgets managed tables that were dropped';

CREATE EVENT TRIGGER ffstorage_ddl_start ON ddl_command_start
    WHEN TAG IN ('ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER INDEX', 'ALTER SEQUENCE', 'DROP TABLE', 'CREATE TABLE',
                 'CREATE FOREIGN TABLE', 'CREATE SCHEMA', 'DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED', 'CREATE TRIGGER', 'ALTER TRIGGER', 'DROP TRIGGER',
                 'CREATE RULE', 'ALTER POLICY', 'DROP POLICY', 'GRANT', 'REVOKE')
    EXECUTE FUNCTION ffstorage.ddl_start();
COMMENT ON EVENT TRIGGER ffstorage_ddl_start IS 'schema changes of managed tables, before they happen';

CREATE EVENT TRIGGER ffstorage_ddl_end ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE', 'ALTER INDEX', 'ALTER SCHEMA', 'CREATE TABLE', 'CREATE SCHEMA', 'CREATE TRIGGER', 'ALTER TRIGGER',
                 'CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'GRANT', 'REVOKE')
    EXECUTE FUNCTION ffstorage.ddl_end();
COMMENT ON EVENT TRIGGER ffstorage_ddl_end IS 'schema changes of managed tables, carried over to what stands beside them';

CREATE EVENT TRIGGER ffstorage_ddl_drop ON sql_drop
    WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'DROP EXTENSION', 'DROP TYPE')
    EXECUTE FUNCTION ffstorage.ddl_drop();
COMMENT ON EVENT TRIGGER ffstorage_ddl_drop IS 'managed tables that were dropped';

REVOKE ALL ON FUNCTION ffstorage.ddl_start(), ffstorage.ddl_end(), ffstorage.ddl_drop() FROM PUBLIC;
