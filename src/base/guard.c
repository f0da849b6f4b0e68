/*
 * guard.c
 *	  Run a step in a subtransaction, so that its failure (a bad row, a refused
 *	  statement) does not stop the steps after it.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/guard.h"
#include "base/log_pace.h"

/* Report the failure of a step, at most once a minute for the same step in each process. */
void
GuardReport(const char *what, const ErrorData *error)
{
	if (!LogIsDue(what))
		return;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("taskq could not %s: %s", what, error->message),
			 error->detail != NULL ? errdetail("%s", error->detail) : 0,
			 errhint("It is tried again; further failures are reported once a minute.")));
}

/*
 * Call a function in a subtransaction.  If it raises an error, roll the
 * subtransaction back, report the error as a WARNING and return false.  "what"
 * completes the sentence "taskq could not ...".
 */
bool
Guard(const char *what, GuardedFunction function, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		function(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return true;
	GuardReport(what, error);
	FreeErrorData(error);
	return false;
}
