-- access and care -----------------------------------------------------------

CREATE FUNCTION taskq.grant_access(role regrole, access text, tenants text[] DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_grant_access' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.grant_access(regrole, text, text[]) IS 'give a role the rights of a producer, worker, observer, operator or admin; each is a set of its own. An observer may be given some tenants, whose jobs alone it sees, a producer some, for which alone it enqueues and whose jobs it may cancel';

CREATE FUNCTION taskq.revoke_access(role regrole, access text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_revoke_access' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.revoke_access(regrole, text) IS 'take back what grant_access() gave; false when it had not been given';

CREATE FUNCTION taskq.adopt_database() RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_adopt_database' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.adopt_database() IS 'in a restored, renamed or copied database: let its jobs run here. False when it was adopted already';

CREATE FUNCTION taskq.is_adopted() RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_is_adopted' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION taskq.is_adopted() IS 'whether jobs run in this database: not after it was restored, copied or renamed, until adopt_database()';

CREATE FUNCTION taskq.announce_installation() RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_announce_installation' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.announce_installation() IS 'tell the launcher, at commit, to look at this database; called by CREATE EXTENSION';

