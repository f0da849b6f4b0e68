/*
 * write_guard.c
 *	  Refusing writes to taskq's tables, except by superusers and by roles with the
 *	  privileges of the extension's owner.
 *
 * taskq itself writes as the owner.  A restore writes as the owner or as a
 * superuser.  A row of taskq.handlers says as which role a handler runs.  So a role
 * that could write to it, by a grant or by pg_write_all_data, could run code as any
 * role.
 *
 * Statements of the owner and of superusers are reported to a watcher, because all
 * processes must read again what such a statement has changed.  A restore consists
 * of such statements.
 */
#include "taskq.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "store/catalog.h"
#include "store/ours.h"
#include "store/owner.h"
#include "store/write_guard.h"

#define WRITES (ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE)

static ExecutorCheckPerms_hook_type previous_hook = NULL;
static WriteWatcher					write_watcher = NULL;

/* Return whether a role may write to a relation, as far as taskq is concerned. */
static bool
MayWrite(Oid relid, Oid role)
{
	if (!RelationIsMember(relid) || superuser_arg(role) || !CatalogInstalled())
		return true;
	return has_privs_of_role(role, CatalogOwner());
}

/*
 * Tell the watcher that a statement by hand is about to write to a table.  taskq's
 * own code announces what it has changed.  A read-only transaction, for example on a
 * standby, may still explain such a statement, and this must not write anything.
 */
static void
TellWatcher(Oid relid)
{
	TaskqRel rel;

	if (write_watcher == NULL || OwnerIsExecuting() || XactReadOnly || InOwnScript() || !RelationIsMember(relid) || !CatalogMatches())
		return;
	rel = RelOfOid(relid);
	if (rel != TASKQ_RELS)
		write_watcher(rel);
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

		if ((checked->requiredPerms & WRITES) == 0 || !OidIsValid(checked->relid))
			continue;
		if (MayWrite(checked->relid, role))
		{
			TellWatcher(checked->relid);
			continue;
		}
		if (!ereport_on_violation)
			return false;
		RefuseWrite(checked->relid, role);
	}
	return true;
}

/* Register a function that is called before each write by hand. */
void
WriteGuardWatch(WriteWatcher watcher)
{
	Assert(write_watcher == NULL);
	write_watcher = watcher;
}

/* Check a statement that truncates a table before it is executed. */
void
WriteGuardTruncate(Oid relid)
{
	if (!MayWrite(relid, GetUserId()))
		RefuseWrite(relid, GetUserId());
	TellWatcher(relid);
}

void
WriteGuardInit(void)
{
	previous_hook = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = CheckPerms;
}
