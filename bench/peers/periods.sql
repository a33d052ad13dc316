-- @needs extension periods
-- @install
CREATE EXTENSION periods CASCADE;
-- @manage
SELECT periods.add_system_time_period('t');
SELECT periods.add_system_versioning('t');
