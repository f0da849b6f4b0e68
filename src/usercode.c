/*
 * usercode.c
 *	  Code that users bring outside handlers: payload types with constraints,
 *	  validators, retry functions.
 *
 * It runs in the session of whoever needs its answer, so as the role that
 * brought it: never as the caller, to whose rights it would help itself, and
 * never as the extension's owner.  A security-restricted operation is what
 * keeps it there: it cannot become another role, and leaves nothing behind that
 * would run later as somebody else: no deferred trigger, no cursor WITH HOLD, no
 * temporary object.  Nor does the caller lead it astray: it finds names by its
 * own search_path, in which a caller's temporary objects come last, and the job
 * of a caller that is a handler is none of its business.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "clock.h"
#include "current.h"
#include "guc.h"
#include "timer.h"
#include "usercode.h"

/* NULL, or why nothing runs as this role now. */
const char *
UserCodeRefusal(Oid role)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		return "its role does not exist";
	if (superuser_arg(role) && !taskq_allow_superuser_handlers)
		return "its role is a superuser and taskq.allow_superuser_handlers is off";
	return NULL;
}

/* By the server; code that raises 57014 of its own accord has failed. */
static bool
IsInterrupt(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		strcmp(error->funcname, "ProcessInterrupts") == 0;
}

static void
SetOption(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Call it as its role; the caller is in a subtransaction, which an error ends. */
static void
CallAsRole(const UserCode *code, UserCodeFunction function, void *arg)
{
	int			guc_level = NewGUCNestLevel();
	char	   *path;
	Oid			caller;
	int			sec_context;

	/* temporary relations and types come first unless the path says otherwise */
	path = psprintf("%s, pg_temp", code->search_path == NULL || code->search_path[0] == '\0' ?
					"pg_catalog" : code->search_path);
	GetUserIdAndSecContext(&caller, &sec_context);
	SetUserIdAndSecContext(code->role,
						   sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	SetOption("search_path", path);
	SetOption("row_security", "on");
	PushActiveSnapshot(GetTransactionSnapshot());
	function(arg);
	PopActiveSnapshot();
	SetUserIdAndSecContext(caller, sec_context);
	AtEOXact_GUC(false, guc_level);
}

/*
 * Run users' code in a subtransaction; NULL, or the error it has raised, after
 * which all is as if it had not begun.  An interrupt that is not ours is the
 * caller's, who is cancelled, and goes on; but where the code has a time limit, a
 * background worker has no statement that somebody could mean to cancel.
 */
ErrorData *
UserCodeRun(const UserCode *code, UserCodeFunction function, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	int			depth = CurrentPush(code->job);
	TimestampTz until = code->time_limit > 0 ? ClockNow() + code->time_limit : 0;
	volatile TimestampTz outer = 0;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (until != 0)
			outer = TimerArm(until);
		CallAsRole(code, function, arg);
		if (until != 0)
			TimerRestore(outer);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (until != 0)
			TimerRestore(outer);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	CurrentReset(depth);
	if (error == NULL || !IsInterrupt(error))
		return error;
	if (until != 0 && ClockNow() >= until)
		error->message = psprintf("it took longer than %g s", code->time_limit / 1000000.0);
	else if (until == 0 || MyBackendType != B_BG_WORKER)
		ReThrowError(error);
	return error;
}
