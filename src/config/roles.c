/*
 * roles.c
 *	  Checking the roles as which handlers run.  Each error has a hint that shows
 *	  the statement to fix it.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/regproc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/guc.h"
#include "config/roles.h"

/* Return a role's name, or its OID as text if the role was dropped. */
char *
RoleNameOrOid(Oid role)
{
	char *name = GetUserNameFromId(role, true);

	return name != NULL ? name : psprintf("%u", role);
}

bool
RoleMayLogin(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool	  may = false;

	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
		ReleaseSysCache(tuple);
	}
	return may;
}

/* Refuse to run users' code as a superuser, unless the setting allows it. */
void
RoleRefuseSuperuser(Oid role)
{
	if (!superuser_arg(role) || taskq_allow_superuser_handlers)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("handlers do not run as superuser \"%s\"", RoleNameOrOid(role)),
			 errdetail("A mistake in such a handler would be one in the whole cluster."),
			 errhint("Make an ordinary role and register as it:\n"
					 "CREATE ROLE app LOGIN;\n"
					 "SELECT taskq.grant_access('app', access) FROM unnest(ARRAY['producer', 'worker', 'observer', 'operator', 'admin']) access;\n"
					 "SET ROLE app;\n"
					 "Or set taskq.allow_superuser_handlers = on in postgresql.conf.")));
}

/*
 * Return whether the caller may change or remove what runs as a role: a member may,
 * and everybody may who has the right to call if the role was dropped.
 */
bool
RoleMayChange(Oid role)
{
	return MayActAs_compat(GetUserId(), role) || !SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role));
}

/* Check that a role may execute the function. */
void
RoleCheckExecute(Oid role, Oid function)
{
	if (MayExecute_compat(function, role))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" may not execute function %s", RoleNameOrOid(role), format_procedure(function)),
			 errhint("Run GRANT EXECUTE ON ROUTINE %s TO %s.", format_procedure_qualified(function),
					 quote_identifier(RoleNameOrOid(role)))));
}

/*
 * Check that the caller may have handlers run as this role, and that workers can
 * connect as it.  Workers connect as the role itself, because SET ROLE in a session
 * of another role would not confine the handler's code.
 */
void
RoleCheckRunAs(Oid role)
{
	char *name;

	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", role),
				 errhint("Leave run_as out to have the handler run as the caller, or name a role that exists.")));
	name = RoleNameOrOid(role);

	if (!MayActAs_compat(GetUserId(), role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be a member of role \"%s\" to have handlers run as it", name),
				 errhint("Run GRANT %s TO %s, or register the handler as that role and leave run_as out.", quote_identifier(name),
						 quote_identifier(RoleNameOrOid(GetUserId())))));
	RoleRefuseSuperuser(role);
	if (WorkerNeedsLogin_compat() && !RoleMayLogin(role))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("role \"%s\" cannot log in, so no worker can run as it", name),
				 errhint("Run ALTER ROLE %s LOGIN.", quote_identifier(name))));
	if (!MayConnect_compat(MyDatabaseId, role))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("role \"%s\" may not connect to this database, so no worker can run as it", name),
				 errhint("Run GRANT CONNECT ON DATABASE %s TO %s.",
						 quote_identifier(get_database_name(MyDatabaseId)), quote_identifier(name))));
}

/* Return why no code can run as this role now, or NULL if it can. */
const char *
RoleCodeRefusal(Oid role)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		return "its role does not exist";
	if (superuser_arg(role) && !taskq_allow_superuser_handlers)
		return "its role is a superuser and taskq.allow_superuser_handlers is off";
	return NULL;
}
