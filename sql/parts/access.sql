-- access and care -----------------------------------------------------------

CREATE FUNCTION taskq.grant_access(role regrole, access text, tenants text[] DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_grant_access' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.grant_access(regrole, text, text[]) IS 'give a role the rights of a producer, worker, observer, operator or admin; none of these includes another. With tenants, an observer sees only their jobs, and a producer enqueues only for them and may cancel their jobs';

CREATE FUNCTION taskq.revoke_access(role regrole, access text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_revoke_access' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.revoke_access(regrole, text) IS 'take back what grant_access() granted; false if the role did not have it. Of a role that was dropped, it removes the record';

CREATE FUNCTION taskq.adopt_database() RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_adopt_database' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.adopt_database() IS 'allow jobs to run in a database that was restored, copied or renamed; false if they may run already. Removes records of access and pools of roles that do not exist here; workers and handlers of such roles belong to nobody then. Has budgets added up anew, for which it waits for transactions that have reported usage';

CREATE FUNCTION taskq.is_adopted() RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_is_adopted' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION taskq.is_adopted() IS 'whether jobs may run in this database; after it was restored, copied or renamed, not before adopt_database()';

CREATE FUNCTION taskq.announce_installation() RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_announce_installation' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.announce_installation() IS 'make the launcher look at this database after the commit; called by CREATE EXTENSION';

