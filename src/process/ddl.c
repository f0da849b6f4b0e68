/*
 * ddl.c
 *	  DDL that needs a database free of taskq's processes: DROP EXTENSION taskq and
 *	  similar statements, DROP DATABASE, and statements that copy, rename or move a
 *	  database.
 *
 * Before such a statement runs, the database is blocked and its workers are asked
 * to leave after their current job.  The statement waits until the scheduler and
 * the workers are gone. Runs that take too long are interrupted, and their jobs are
 * put back without counting an attempt.  The block ends with the transaction,
 * whether it commits or not.  Then the launcher looks at the database again.
 *
 * The same hook notes SET CONSTRAINTS for reset.c, and refuses to rename objects
 * that the library finds by their names.  It announces COMMIT PREPARED to claims, as
 * wake.c announces other commits.
 */
#include "taskq.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/user.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/memory.h"
#include "process/ddl.h"
#include "process/prepared_end.h"
#include "run/reset.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/catalog.h"
#include "store/ours.h"

#define PATIENCE (10 * USECS_PER_SEC) /* time before runs are interrupted */
#define GIVE_UP (120 * USECS_PER_SEC) /* time before the statement runs regardless */

static ProcessUtility_hook_type previous_hook = NULL;

/* Ask a database's workers to leave after their current job, or, with "now", at once. */
static void
AskToLeave(TaskqDatabase *db, bool now)
{
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		if (slot->worker && slot->dboid == db->dboid)
		{
			slot->leave = true;
			SetLatch(slot->latch);
			if (now && slot->interruptible)
				kill(slot->pid, SIGINT);
		}
		LWLockRelease(&slot->lock);
	}
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	if (db->helper_pid != 0)
	{
		SetLatch(db->helper_latch);
		if (now)
			kill(db->helper_pid, SIGINT);
	}
	LWLockRelease(&taskq_shared->lock);
	ShmemWakeScheduler(db);
}

/*
 * Block a database until this transaction ends, and wait until taskq's processes
 * are gone.
 */
static void
FreeDatabase(Oid dboid)
{
	static uint32  event = 0;
	TaskqDatabase *db = ShmemDatabase(dboid, false);
	TimestampTz	   started = ClockNow();

	if (db == NULL)
		return;
	if (ShmemMySlot()->worker)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a taskq handler cannot do away with the database or extension that it runs in"),
				 errhint("Do it from a session of your own.")));
	WakeUnblock(dboid);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->blocked++;
	LWLockRelease(&taskq_shared->lock);

	while (ShmemCountProcesses(dboid) > 0 && ClockNow() - started < GIVE_UP)
	{
		AskToLeave(db, ClockNow() - started > PATIENCE);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 20,
						 WaitEvent_compat(&event, "TaskqWorkersLeaving"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static bool
DropsTaskq(DropStmt *statement)
{
	ListCell *cell;

	/* the schema belongs to the extension, so it cannot be dropped alone */
	if (statement->removeType != OBJECT_EXTENSION)
		return false;
	foreach (cell, statement->objects)
		if (strcmp(strVal(lfirst(cell)), "taskq") == 0)
			return true;
	return false;
}

static bool
DropsOwnersObjects(DropOwnedStmt *statement)
{
	ListCell *cell;
	List	 *roles = roleSpecsToIds(statement->roles);

	foreach (cell, roles)
		if (lfirst_oid(cell) == CatalogOwner())
			return true;
	return false;
}

/*
 * Return the name of the database that CREATE DATABASE copies, or NULL if the
 * statement names none.
 */
static char *
TemplateOf(CreatedbStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

static bool
MovesDatabase(AlterDatabaseStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
			return true;
	return false;
}

/* Return this database if the user owns the extension, and else InvalidOid. */
static Oid
HereIfOwner(void)
{
	return CatalogInstalled() && OwnsExtension_compat(CatalogExtension(), GetUserId()) ? MyDatabaseId : InvalidOid;
}

/* Return the database of this name if the user owns it, and else InvalidOid. */
static Oid
ThereIfOwner(const char *name)
{
	Oid dboid = name != NULL ? get_database_oid(name, true) : InvalidOid;

	return OidIsValid(dboid) && OwnsDatabase_compat(dboid, GetUserId()) ? dboid : InvalidOid;
}

/*
 * Return the database that taskq must leave for this statement, or InvalidOid if
 * there is none.  Returns InvalidOid also if the statement will be refused for lack
 * of rights.
 */
static Oid
DatabaseToFree(Node *statement, bool in_block)
{
	/* these statements are refused inside a transaction block */
	if (in_block && (IsA(statement, DropdbStmt) || IsA(statement, CreatedbStmt) || IsA(statement, AlterDatabaseStmt)))
		return InvalidOid;
	switch (nodeTag(statement))
	{
		case T_DropStmt:
			return DropsTaskq((DropStmt *) statement) ? HereIfOwner() : InvalidOid;
		case T_AlterExtensionStmt:
			return strcmp(((AlterExtensionStmt *) statement)->extname, "taskq") == 0 ? HereIfOwner() : InvalidOid;
		case T_DropOwnedStmt:
			return CatalogInstalled() && DropsOwnersObjects((DropOwnedStmt *) statement) ? HereIfOwner() : InvalidOid;
		case T_DropdbStmt:
			return ThereIfOwner(((DropdbStmt *) statement)->dbname);
		case T_CreatedbStmt:
			return ThereIfOwner(TemplateOf((CreatedbStmt *) statement));
		case T_AlterDatabaseStmt:
			return MovesDatabase((AlterDatabaseStmt *) statement) ? ThereIfOwner(((AlterDatabaseStmt *) statement)->dbname) : InvalidOid;
		case T_RenameStmt:
			return ((RenameStmt *) statement)->renameType == OBJECT_DATABASE ? ThereIfOwner(((RenameStmt *) statement)->subname) : InvalidOid;
		default:
			return InvalidOid;
	}
}

/* Does this statement end a prepared transaction? */
static bool
EndsPrepared(Node *statement)
{
	return IsA(statement, TransactionStmt) &&
		   (((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED ||
			((TransactionStmt *) statement)->kind == TRANS_STMT_ROLLBACK_PREPARED);
}

/*
 * Refuse to rename the schema, its tables and their columns.  The library finds
 * them by their names.  The server allows the change, but taskq would then be "not
 * installed".  What users have made in the schema is theirs.
 */
static void
RefuseRename(Node *statement)
{
	bool schema = IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_SCHEMA &&
				  strcmp(((RenameStmt *) statement)->subname, "taskq") == 0;
	RangeVar *relation = NULL;
	Oid		  relid = InvalidOid;

	if (IsA(statement, RenameStmt))
		relation = ((RenameStmt *) statement)->relation;
	else if (IsA(statement, AlterObjectSchemaStmt))
		relation = ((AlterObjectSchemaStmt *) statement)->relation;
	if ((!schema && relation == NULL) || creating_extension || !CatalogInstalled())
		return;
	if (!schema)
		relid = RangeVarGetRelid(relation, NoLock, true);
	if (schema || (OidIsValid(relid) && RelationIsMember(relid)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 schema ? errmsg("schema \"taskq\" cannot be renamed") : errmsg("relation \"%s\" belongs to extension taskq and cannot be renamed or moved", relation->relname),
				 errdetail("The library of the extension finds what it needs by its name.")));
}

/* Have the statement executed. */
static void
Execute(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context, ParamListInfo params,
		QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (previous_hook)
		previous_hook(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, environment, dest, completion);
}

/* The database in which COMMIT PREPARED or ROLLBACK PREPARED is under way in this session, or NULL. */
static TaskqDatabase *announced_in = NULL;

/* Withdraw the announcement, after the changes have been told or the statement has failed. */
static void
WithdrawCommit(void)
{
	if (announced_in != NULL)
		(void) pg_atomic_fetch_sub_u32(&announced_in->config_commits, 1);
	announced_in = NULL;
}

static void
WithdrawAtExit(int code, Datum arg)
{
	WithdrawCommit();
}

/* Announce a commit that may change the configuration, and be visible before that is told; see ConfigCatchUp(). */
static void
AnnounceCommit(void)
{
	static bool registered = false;

	if (!registered)
		before_shmem_exit(WithdrawAtExit, (Datum) 0);
	registered = true;
	announced_in = ShmemPresent() ? ShmemMyDatabase() : NULL;
	if (announced_in != NULL)
		(void) pg_atomic_fetch_add_u32(&announced_in->config_commits, 1);
}

static void
ProcessUtilityForTaskq(PlannedStmt *pstmt, const char *query, bool read_only_tree,
					   ProcessUtilityContext context, ParamListInfo params,
					   QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	Oid dboid = InvalidOid;

	/*
	 * look before the call, because a statement that ends a transaction may be
	 * freed with it
	 */
	bool ends_prepared = EndsPrepared(pstmt->utilityStmt);

	MemoryStatementBegins();
	if (IsTransactionState() && (IsA(pstmt->utilityStmt, RenameStmt) || IsA(pstmt->utilityStmt, AlterObjectSchemaStmt)))
		RefuseRename(pstmt->utilityStmt);
	if (ShmemPresent() && IsTransactionState() && !RecoveryInProgress())
		dboid = DatabaseToFree(pstmt->utilityStmt, IsInTransactionBlock(context == PROCESS_UTILITY_TOPLEVEL));

	if (OidIsValid(dboid))
		FreeDatabase(dboid);
	if (IsA(pstmt->utilityStmt, ConstraintsSetStmt))
		ResetNoteConstraints();
	if (!ends_prepared)
	{
		Execute(pstmt, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	AnnounceCommit();
	PG_TRY();
	{
		Execute(pstmt, query, read_only_tree, context, params, environment, dest, completion);
		PreparedEnded();
	}
	PG_FINALLY();
	{
		WithdrawCommit();
	}
	PG_END_TRY();
}

/*
 * Install the hook.  Without preloading, there are no processes that must leave,
 * but the other checks still apply.
 */
void
DdlInit(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = ProcessUtilityForTaskq;
}
