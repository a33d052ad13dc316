-- @needs file supa_audit--[0-9].[0-9].[0-9].sql
-- @install
CREATE EXTENSION "uuid-ossp";
-- @manage
SELECT audit.enable_tracking('t'::regclass);
-- @clean
TRUNCATE audit.record_version;
