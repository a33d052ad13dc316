-- @needs extension supa_audit
-- @install
CREATE EXTENSION supa_audit CASCADE;
-- @manage
SELECT audit.enable_tracking('t'::regclass);
-- @clean
TRUNCATE audit.record_version;
