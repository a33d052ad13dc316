-- @needs extension temporal_tables
-- @install
CREATE SCHEMA temporal_tables;
CREATE EXTENSION temporal_tables SCHEMA temporal_tables;
-- @manage
ALTER TABLE t ADD COLUMN sys_period tstzrange NOT NULL DEFAULT tstzrange(current_timestamp, NULL);
CREATE TABLE t_history (LIKE t);
CREATE INDEX ON t_history (id, lower(sys_period));
CREATE TRIGGER versioning BEFORE INSERT OR UPDATE OR DELETE ON t
    FOR EACH ROW EXECUTE FUNCTION temporal_tables.versioning('sys_period', 't_history', true);
