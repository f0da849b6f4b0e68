/*
 * reset.c
 *	  Leaving nothing of one job for the next.
 *
 * Settings are undone by the GUC nest level around the handler (call.c).
 * Here goes what outlives a transaction otherwise: what DISCARD ALL would do,
 * which cannot run here, less the plans, which are worth keeping as this
 * process only ever serves one role.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "run/reset.h"

/* A transaction has committed that may have made temporary objects. */
static bool temporary_used = false;

static bool constraints_set = false; /* by a statement of this transaction */

/* Disarm what a handler may be under, before anything else goes on. */
void
ResetTimers(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (get_timeout_active(LOCK_TIMEOUT))
		disable_timeout(LOCK_TIMEOUT, false);
}

/* What taskq's own work, or a run before, has left in memory alone. */
void
ResetBeforeRun(void)
{
	/* of lastval() and currval() */
	ResetSequenceCaches();

	/* of random(), which setseed() may have made foreseeable */
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
 * A statement has set the mode of constraints for the rest of the transaction.
 * There is no way to have it as it was but to end the transaction.
 */
void
ResetNoteConstraints(void)
{
	constraints_set = true;
}

/*
 * The same in the midst of a transaction, for the next job of a shared commit.
 * Locks that belong to the transaction stay until it ends.  False: the job has
 * left what only the end of the transaction can clear away.
 */
bool
ResetBetweenRuns(void)
{
	if (constraints_set || (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0)
		return false;
	PortalHashTableDeleteAll();
	DropAllPreparedStatements();
	LockReleaseSession(USER_LOCKMETHOD);
	return true;
}

/*
 * After a procedure, whose commits have made what it set the session's: called
 * between transactions, so that it is so at once.  A superuser's procedure may
 * have changed even the session's user.
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

/* Called between transactions.  What a run did not use costs next to nothing. */
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
 * A transaction of this worker commits.  LISTEN is refused in background
 * processes, but C code can do it; it can only be undone in a transaction.
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
