/*
 * work_transaction.c
 *	  Transactions of the scheduler's work, and what happens to their errors.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/guard.h"
#include "process/work_transaction.h"
#include "store/catalog.h"

/* Memory of a round of work, which outlives its transactions. */
static MemoryContext work_context;

void
WorkTransactionInit(void)
{
	work_context = AllocSetContextCreate(TopMemoryContext, "taskq work", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(work_context);
}

/* Free what an earlier round has left. */
void
WorkResetMemory(void)
{
	MemoryContextReset(work_context);
}

static void
BeginTransaction(const char *what)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(work_context);
	pgstat_report_activity(STATE_RUNNING, psprintf("taskq: %s", what));
}

static void
EndTransaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(work_context);
}

/*
 * Call a function.  If it raises an error, roll back its transaction and return the
 * error; otherwise return NULL.
 */
static ErrorData *
Catch(void (*function)(void *), void *arg)
{
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		function(arg);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(work_context);
		error = CopyErrorData();
		FlushErrorState();
		QueryCancelPending = false;
		AbortCurrentTransaction();
		LWLockReleaseAll();
		MemoryContextSwitchTo(work_context);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return error;
}

typedef struct TransactionStep
{
	const char *what;
	void (*function)(void *);
	void *arg;
} TransactionStep;

static void
DoInTransaction(void *arg)
{
	TransactionStep *step = arg;

	BeginTransaction(step->what);
	step->function(step->arg);
	EndTransaction();
}

static void
AskInstalled(void *arg)
{
	bool *installed = arg;

	*installed = CatalogInstalled();
}

/* Has the extension been dropped?  Returns false if that cannot be found out. */
static bool
IsGone(void)
{
	bool			installed = true;
	TransactionStep step = { "look for the extension", AskInstalled, &installed };
	ErrorData	   *error = Catch(DoInTransaction, &step);

	if (error != NULL)
		FreeErrorData(error);
	return error == NULL && !installed;
}

/*
 * Call a function.  If it raises an error, roll back its transaction, report the error
 * and return false.  The error is not reported if the extension was dropped in the
 * meantime, because then there is nothing left to do or to repair.
 */
bool
WorkTry(const char *what, void (*function)(void *), void *arg)
{
	ErrorData *error = Catch(function, arg);

	if (error == NULL)
		return true;
	if (!IsGone())
		GuardReport(what, error);
	FreeErrorData(error);
	return false;
}

/*
 * Call a function in a transaction of its own.  If it raises an error, report the
 * error and return false.
 */
bool
WorkInTransaction(const char *what, void (*function)(void *), void *arg)
{
	TransactionStep step = { what, function, arg };

	Assert(!IsTransactionState());
	return WorkTry(what, DoInTransaction, &step);
}
