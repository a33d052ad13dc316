-- Connections against their limits: the view, and the health check's threshold.
CREATE EXTENSION ffstorage;
SELECT scope, used >= 1 AS used, max = current_setting('max_connections')::integer AS max,
       reserved >= current_setting('superuser_reserved_connections')::integer AS reserved,
       available = max - reserved - used AS available, percent_used > 0 AS percent, active >= 1 AS active,
       active + idle + idle_in_transaction <= used AS states
FROM ffs_connections WHERE scope = 'server';
SELECT scope, used >= 1 AS used, max, available > 0 AS available, percent_used, status
FROM ffs_connections WHERE name IN (current_database(), session_user) ORDER BY scope;

-- limits of databases and roles, unused ones too; those of superusers do not bind
CREATE ROLE ffs_connections_few CONNECTION LIMIT 3;
CREATE ROLE ffs_connections_none CONNECTION LIMIT 0;
CREATE ROLE ffs_connections_super SUPERUSER CONNECTION LIMIT 3;
SELECT * FROM ffs_connections WHERE name ~ '^ffs_connections' ORDER BY name;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 20', current_database()); END $$;
SELECT scope, max, available BETWEEN 1 AND 19 AS available, status FROM ffs_connections WHERE name = current_database();

-- the threshold
SET ffstorage.health_connections = 1;
SELECT scope, status FROM ffs_connections WHERE max IS NOT NULL AND used > 0 ORDER BY scope;
SELECT DISTINCT status, hint FROM ffs_health WHERE check_name = 'connections';
SET ffstorage.health_connections = 0;
SET ffstorage.health_connections = 101;
RESET ffstorage.health_connections;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 1', current_database()); END $$;
SELECT status, details ~ ' has [0-9]+ of the 1 connections that it may have.$' AS which
FROM ffs_health WHERE check_name = 'connections' AND status <> 'healthy';
SELECT scope, max, available, status FROM ffs_connections WHERE name = current_database();
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT -1', current_database()); END $$;

-- who may
SET ROLE ffs_connections_few;
SELECT count(*) FROM ffs_connections;
RESET ROLE;
GRANT pg_monitor TO ffs_connections_few;
SET ROLE ffs_connections_few;
SELECT active >= 1 AS sees_states FROM ffs_connections WHERE scope = 'server';
RESET ROLE;
DROP ROLE ffs_connections_few, ffs_connections_none, ffs_connections_super;
DROP EXTENSION ffstorage;
