/*
 * write_guard.c
 *	  Refusing writes to taskq's tables, except by superusers and by roles with the
 *	  privileges of the extension's owner.
 *
 * taskq itself writes as the owner.  A restore writes as the owner or as a
 * superuser.  A row of taskq.handlers says as which role a handler runs.  So a role
 * that could write to it, by a grant or by pg_write_all_data, could run code as any
 * role.
 */
#include "taskq.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "store/catalog.h"
#include "store/ours.h"
#include "store/write_guard.h"

#define WRITES (ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)

static ExecutorCheckPerms_hook_type previous_hook = NULL;

/* Return whether a role may write to a relation, as far as taskq is concerned. */
static bool
MayWrite(Oid relid, Oid role)
{
	if (!RelationIsMember(relid) || superuser_arg(role) || !CatalogInstalled())
		return true;
	return has_privs_of_role(role, CatalogOwner());
}

static void
RefuseWrite(Oid relid, Oid role)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" cannot write to %s.%s", GetUserNameFromId(role, true), TASKQ_SCHEMA, get_rel_name(relid)),
			 errdetail("Only superusers, the extension's owner and roles that have its privileges write to the tables of taskq, whatever has been granted to others."),
			 errhint("Call taskq's functions.")));
}

/* Check a statement or COPY before it is executed. */
static bool
CheckPerms(CHECK_PERMS_ARGS_COMPAT)
{
	ListCell *cell;

	if (previous_hook && !previous_hook(CHECK_PERMS_PASS_COMPAT))
		return false;
	foreach (cell, CHECK_PERMS_LIST_COMPAT)
	{
		CheckedRelation_compat *checked = lfirst(cell);
		Oid						role = OidIsValid(checked->checkAsUser) ? checked->checkAsUser : GetUserId();

		if ((checked->requiredPerms & WRITES) == 0 || !OidIsValid(checked->relid) || MayWrite(checked->relid, role))
			continue;
		if (!ereport_on_violation)
			return false;
		RefuseWrite(checked->relid, role);
	}
	return true;
}

/* Check a statement that truncates a table before it is executed. */
void
WriteGuardTruncate(Oid relid)
{
	if (!MayWrite(relid, GetUserId()))
		RefuseWrite(relid, GetUserId());
}

void
WriteGuardInit(void)
{
	previous_hook = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = CheckPerms;
}
