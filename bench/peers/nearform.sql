-- @needs file versioning_function.sql
-- @install
CREATE SCHEMA nearform;
SET search_path = nearform;
-- @manage
ALTER TABLE t ADD COLUMN sys_period tstzrange NOT NULL DEFAULT tstzrange(current_timestamp, NULL);
CREATE TABLE t_history (LIKE t);
CREATE INDEX ON t_history (id, lower(sys_period));
CREATE TRIGGER versioning BEFORE INSERT OR UPDATE OR DELETE ON t
    FOR EACH ROW EXECUTE FUNCTION nearform.versioning('sys_period', 't_history', 'true');
