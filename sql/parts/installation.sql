-- this installation ---------------------------------------------------------

INSERT INTO taskq.installation (system_identifier, database_oid, database_name)
SELECT c.system_identifier, d.oid, d.datname
FROM pg_catalog.pg_control_system() c, pg_catalog.pg_database d
WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database();

SELECT taskq.announce_installation();
