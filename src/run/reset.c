/*
 * reset.c
 *	  Reset a worker's session after a run, so that the next job finds nothing of it.
 *
 * The GUC nest level around the handler restores the settings (call.c).  The
 * functions here reset what else outlives a transaction, as DISCARD ALL does, which
 * cannot run in a worker.  They keep the cached plans, because this process serves
 * only one role.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "libpq/be-fsstubs.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "run/reset.h"

/* Whether a committed transaction may have made temporary objects. */
static bool temporary_used = false;

/* Whether a statement of this transaction has executed SET CONSTRAINTS. */
static bool constraints_set = false;

/* Disarm the timeouts that the handler may have set. */
void
ResetTimers(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (get_timeout_active(LOCK_TIMEOUT))
		disable_timeout(LOCK_TIMEOUT, false);
}

/* Reset state in memory that taskq's own work, or an earlier run in this transaction, may have left. */
void
ResetBeforeRun(void)
{
	/* lastval() and currval() */
	ResetSequenceCaches();

	/* random(), which setseed() may have made predictable */
	(void) DirectFunctionCall1(setseed, Float8GetDatum(pg_prng_double(&pg_global_prng_state)));
}

/* Drop temporary objects, in a transaction of their own. */
static void
ResetTemporaryObjects(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactReadOnly = false;
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
	CommitTransactionCommand();
	temporary_used = false;
}

/*
 * Note that a statement has executed SET CONSTRAINTS.  Its effect lasts until the
 * transaction ends, so no other job can follow in it.
 */
void
ResetNoteConstraints(void)
{
	constraints_set = true;
}

/*
 * Reset the session inside a transaction, for the next job of a shared commit.  Locks
 * of the transaction stay until it ends.  Returns false if the last job has left
 * something that only the end of the transaction can reset.
 */
bool
ResetBetweenRuns(void)
{
	if (constraints_set || (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0)
		return false;
	PortalHashTableDeleteAll();
	DropAllPreparedStatements();
	LockReleaseSession(USER_LOCKMETHOD);

	/* close large objects, as the rollback of a subtransaction would do */
	AtEOSubXact_LargeObject(false, GetCurrentSubTransactionId(), InvalidSubTransactionId);
	return true;
}

/*
 * Reset the settings after a procedure.  The procedure's commits have made its SETs
 * permanent in the session.  A superuser's procedure may have changed even the
 * session user.  This is called between transactions, so the resets cannot be rolled
 * back.
 */
void
ResetAfterSteps(void)
{
	if (GetSessionUserId() != GetAuthenticatedUserId())
	{
		StartTransactionCommand();
		(void) set_config_option("session_authorization", NULL, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
		CommitTransactionCommand();
	}
	SetConfigOption("role", "none", PGC_USERSET, PGC_S_SESSION);
	ResetAllOptions();
}

/* Reset the session between transactions.  Resetting what a run did not use takes almost no time. */
void
ResetSession(void)
{
	constraints_set = false;
	PortalHashTableDeleteAll();
	DropAllPreparedStatements();
	LockReleaseAll(USER_LOCKMETHOD, true);
	if (temporary_used)
		ResetTemporaryObjects();
}

/*
 * Called when a transaction of this worker commits.  LISTEN is refused in background
 * processes, but C code can still listen, and UNLISTEN must be done in a transaction.
 */
static void
AtCommit(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT)
		Async_UnlistenAll();
	else if (event == XACT_EVENT_COMMIT && (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0)
		temporary_used = true;
}

/* Called once in each background worker. */
void
ResetInit(void)
{
	RegisterXactCallback(AtCommit, NULL);
}
