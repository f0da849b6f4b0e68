-- What the examples and the pages of doc/ begin with: taskq in a database, and an
-- ordinary role with the rights of a developer. For a superuser, in psql; it does no
-- harm to run it twice.

CREATE EXTENSION IF NOT EXISTS taskq;
SELECT 'CREATE ROLE app LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') \gexec
GRANT CREATE ON DATABASE :"DBNAME" TO app; -- its own schemas
CREATE SCHEMA IF NOT EXISTS app AUTHORIZATION app;
SELECT count(taskq.grant_access('app', access)) AS kinds_of_access
FROM unnest(ARRAY['producer', 'worker', 'observer', 'operator', 'admin']) AS access;
