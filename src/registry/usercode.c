/*
 * usercode.c
 *	  Code that users bring outside handlers: payload types with constraints,
 *	  validators, retry functions.
 *
 * It runs in the session of whoever needs its answer, so as the role that
 * brought it: never as the caller, to whose rights it would help itself, and
 * never as the extension's owner.  A security-restricted operation is what
 * keeps it there: it cannot become another role.  All it has is its answer: its
 * subtransaction is read-only and always rolled back, the portals of before are
 * hidden (portals.c), and what else belongs to the session is refused
 * (confine.c).  An error's context, too, begins with it, as the frames below it
 * tell what the caller does.
 *
 * Nor does the caller lead it astray: it finds names by its own search_path, in
 * which a caller's temporary objects come last, reads and writes by fixed
 * settings (pin.c), and the job of a caller that is a handler is none of its
 * business.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/guc.h"
#include "job/current.h"
#include "registry/compiled.h"
#include "registry/confine.h"
#include "registry/pin.h"
#include "registry/usercode.h"
#include "shared/timer.h"

/* By the server; code that raises 57014 of its own accord has failed. */
static bool
IsInterrupt(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		   strcmp(error->funcname, "ProcessInterrupts") == 0;
}

/* errors that it meets ----------------------------------------------------- */

typedef struct Watch
{
	const UserCode *code;
	MemoryContext	context;
	ErrorData	   *interrupt; /* the first one that the server has raised in it */
} Watch;

static void
NoteInterrupt(Watch *watch)
{
	MemoryContext old = MemoryContextSwitchTo(watch->context);
	ErrorData	 *error = CopyErrorData();

	if (IsInterrupt(error))
		watch->interrupt = error;
	MemoryContextSwitchTo(old);
}

static int
SayWhyItEnds(const Watch *watch)
{
	double seconds = watch->code->time_limit / 1000000.0;

	errcode(ERRCODE_QUERY_CANCELED);
	errmsg("terminating the session because %s does not come to an end", watch->code->what);
	if (watch->interrupt == NULL)
	{
		errdetail("It has %g s, and could not be interrupted then.", seconds);
		return errhint("Code that runs for long without calling the server belongs in the handler.");
	}
	errdetail("It has %g s, and has caught the errors by which it was interrupted then.", seconds);
	return errhint("Code that handles query_canceled must raise it again.");
}

/*
 * The error context callback of users' code, and the last one that is called in
 * it.  It sees errors as they are raised, also those that the code goes on to
 * catch.
 */
static void
WatchErrors(void *arg)
{
	Watch *watch = arg;

	if (watch->interrupt == NULL && geterrcode() == ERRCODE_QUERY_CANCELED)
		NoteInterrupt(watch);
	if (TimerCodeOverdue() && geterrcode() == ERRCODE_ADMIN_SHUTDOWN)
		(void) SayWhyItEnds(watch);
}

/*
 * What the code uses may be dropped between its plan and its run.  PostgreSQL then
 * reports an internal error in words that it does not translate.
 */
static void
SayIfDropped(const UserCode *code, ErrorData *error)
{
	static const struct
	{
		const char *begins;
		int			sqlstate;
	} dropped[] = {
		{ "cache lookup failed for function ", ERRCODE_UNDEFINED_FUNCTION },
		{ "cache lookup failed for ", ERRCODE_UNDEFINED_OBJECT },
		{ "could not open relation with OID ", ERRCODE_UNDEFINED_TABLE },
	};

	if (error->sqlerrcode != ERRCODE_INTERNAL_ERROR || error->message == NULL)
		return;
	for (int i = 0; i < lengthof(dropped); i++)
	{
		if (strncmp(error->message, dropped[i].begins, strlen(dropped[i].begins)) != 0)
			continue;
		error->sqlerrcode = dropped[i].sqlstate;
		error->detail = error->message;
		error->message = psprintf("%s uses what was dropped at this moment", code->what);
		error->hint = pstrdup("Try again; if it fails again, look at what it calls.");
		return;
	}
}

/* Raise an error of users' code, in the context that was kept from it. */
void
UserCodePassOn(ErrorData *error)
{
	ThrowErrorData(error);
	pg_unreachable();
}

/* run ---------------------------------------------------------------------- */

static void
SetOption(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Call it as its role, in a subtransaction whose end gives back role, settings
 * and snapshots.
 */
static void
CallAsRole(const UserCode *code, UserCodeFunction function, void *arg)
{
	Oid caller;
	int sec_context;

	/* temporary relations and types come first unless the path says otherwise */
	SetOption("search_path", psprintf("%s, pg_temp", code->search_path == NULL || code->search_path[0] == '\0' ? "pg_catalog" : code->search_path));
	if (!row_security)
		SetOption("row_security", "on");
	if (max_parallel_workers_per_gather > 0)
		SetOption("max_parallel_workers_per_gather", "0");
	PinSettings();
	GetUserIdAndSecContext(&caller, &sec_context);
	SetUserIdAndSecContext(code->role,
						   sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	XactReadOnly = true;
	PushActiveSnapshot(GetTransactionSnapshot());
	function(arg);
	PopActiveSnapshot();
}

/*
 * Was the code interrupted?  An interrupt for its own time is its error, any
 * other the caller's, whether the code has let it pass or not.
 */
static ErrorData *
JudgeInterrupt(const UserCode *code, ErrorData *interrupt, bool timed_out)
{
	if (timed_out)
	{
		interrupt->message = psprintf("%s took longer than %g s", code->what, code->time_limit / 1000000.0);
		interrupt->hint = NULL;
	}
	else if (!code->settles || MyBackendType != B_BG_WORKER)
		UserCodePassOn(interrupt);
	return interrupt;
}

/*
 * Run users' code; NULL, or the error it has raised.  All is as if it had not
 * run but for what "function" has put into memory that is the caller's, which
 * must not point to anything in a table.
 */
ErrorData *
UserCodeRun(const UserCode *code, UserCodeFunction function, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	volatile bool		 timed_out = false;
	volatile int		 depth = -1;
	volatile uint32		 side = 0;
	Confinement			 confinement = { 0 };
	Watch				 watch = { .code = code, .context = context };
	ErrorContextCallback callback = { .callback = WatchErrors, .arg = &watch };

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		error_context_stack = &callback;
		depth = CurrentPush(code->job);
		side = CompiledEnter(code->role, code->search_path);
		ConfineBegin(&confinement);
		TimerCodeStart(code->until);
		CallAsRole(code, function, arg);
		timed_out = TimerCodeStop();
		ConfineEnd(&confinement);
	}
	PG_CATCH();
	{
		timed_out = TimerCodeStop();
		ConfineEnd(&confinement);
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (TimerCodeOverdue())
		ereport(FATAL, (errcode(ERRCODE_QUERY_CANCELED), SayWhyItEnds(&watch)));
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	CompiledLeave(side);
	if (depth >= 0)
		CurrentReset(depth);
	if (error != NULL)
		SayIfDropped(code, error);
	return watch.interrupt == NULL ? error : JudgeInterrupt(code, watch.interrupt, timed_out);
}
