-- taskq: the whole current definition, in sections named like the files in src/.
\echo Use "CREATE EXTENSION taskq" to load this file. \quit

-- Everything below is qualified; nothing may be found through a caller's path.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Fails when the schema is there already: nobody's objects are ever adopted.
CREATE SCHEMA taskq;
COMMENT ON SCHEMA taskq IS 'taskq: job queue with a pool of background workers inside the server';

