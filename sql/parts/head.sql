-- taskq: the SQL definitions.  make joins this script from the files in sql/parts.
\echo Use "CREATE EXTENSION taskq" to load this file. \quit

-- All names below are qualified, so that no object is found through the caller's
-- search_path.
SET LOCAL search_path = pg_catalog, pg_temp;

-- This fails if the schema already exists: taskq never takes over existing objects.
CREATE SCHEMA taskq;
COMMENT ON SCHEMA taskq IS 'taskq: job queue with a pool of background workers inside the server';

