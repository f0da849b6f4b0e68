/*
 * member_guard.c
 *	  Refusing changes of the extension's objects.
 *
 * The library finds its objects by name, relies on their definitions, and works as
 * their owner.  So none of them may be renamed, moved, replaced, altered or given
 * to another owner, whatever the statement is: the server calls the object access
 * hook for each such change.  A few statements change only properties that do not
 * matter, such as the cost of a function. definition_guard.c has checked these, and
 * they are allowed here.
 */
#include "taskq.h"

#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "nodes/parsenodes.h"

#include "store/member_guard.h"
#include "store/ours.h"

static bool allowed = false; /* does the present statement change only what may be changed? */

/* Return whether a statement changes only what may be changed. */
static bool
IsAllowed(Node *statement)
{
	switch (nodeTag(statement))
	{
		/* definition_guard.c has refused forms of these that are not allowed */
		case T_AlterFunctionStmt:
		case T_AlterTableStmt:
			return true;

		/* these apply to many objects at once, including those of the extension */
		case T_AlterTableMoveAllStmt:
		case T_ReassignOwnedStmt:
			return true;
		default:
			return false;
	}
}

/*
 * Called when a statement begins.  Returns the value to pass to
 * MemberGuardRestore() when it has ended.
 */
bool
MemberGuardAllow(Node *statement)
{
	bool before = allowed;

	allowed = IsAllowed(statement);
	return before;
}

void
MemberGuardRestore(bool before)
{
	allowed = before;
}

/* Raise the error that says that an object of the extension cannot be changed. */
void
MemberRefuse(Oid class, Oid object)
{
	ObjectAddress address;

	ObjectAddressSet(address, class, object);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s belongs to extension taskq and cannot be changed", getObjectDescription(&address, false)),
			 errdetail("The library of the extension finds its objects by their names, and relies on their definitions and on their owner."),
			 errhint("Make an object of your own. To give the whole extension to another role, use REASSIGN OWNED.")));
}

/*
 * Check an object that was altered or created.  Replacing a function also counts as
 * creating it.
 */
void
MemberGuardLook(ObjectAccessType access, Oid class, Oid object, void *arg)
{
	if (allowed)
		return;
	if (access == OAT_POST_ALTER && (class == InheritsRelationId || ((ObjectAccessPostAlter *) arg)->is_internal))
		return;
	if (access == OAT_POST_CREATE && class != ProcedureRelationId)
		return;
	if (!ObjectIsOurs(class, object))
		return;
	MemberRefuse(class, object);
}
