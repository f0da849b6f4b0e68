/*
 * usercode.c
 *	  Run users' code outside handlers: payload types with constraints, validators
 *	  and retry functions.
 *
 * This code runs in the session that needs its answer, but as the role of the
 * handler: never as the caller, whose rights it could misuse, and never as the
 * extension's owner.  It runs as a security-restricted operation, so it cannot change
 * its role.  Its answer is its only effect: its subtransaction is read-only and
 * always rolled back, the session's portals are hidden (portals.c), and other access
 * to the session is refused (confine.c).  The context of its errors does not include
 * the caller's, which would tell what the caller does.
 *
 * The caller cannot mislead the code either.  The code finds names by its own
 * search_path, in which the caller's temporary objects come last.  It reads and
 * writes values by fixed settings (pin.c).  If the caller is a handler, the code does
 * not see its current job.
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
#include "store/owner.h"

/* Return whether an error is an interrupt by the server.  Code can raise 57014 by itself; that is a plain failure. */
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
	ErrorData	   *interrupt; /* the first interrupt that the server raised in the code, or NULL */
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
		errdetail("Its time limit is %g s, and it could not be interrupted after that.", seconds);
		return errhint("Code that runs for long without calling the server belongs in the handler.");
	}
	errdetail("Its time limit is %g s, and it caught the errors that interrupted it after that.", seconds);
	return errhint("Code that handles query_canceled must raise it again.");
}

/*
 * The error context callback of users' code.  It is the outermost callback while the
 * code runs, and sees each error when it is raised, even if the code then catches it.
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

/* Raise an error of users' code again, with the caller's context added. */
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

/* Call the code as its role.  The caller has begun a subtransaction, whose rollback restores role, settings and snapshots. */
static void
CallAsRole(const UserCode *code, UserCodeFunction function, void *arg)
{
	Oid caller;
	int sec_context;

	/* Name pg_temp as the last schema: if the path does not name it, it is searched first. */
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
 * Decide what an interrupt of the code means.  If its time was over, the interrupt is
 * returned as the code's error.  Any other interrupt is for the caller and raised
 * again, even if the code has caught it; but when a background worker settles a run,
 * it is returned too.
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
 * Run users' code.  Returns NULL, or the error that it raised.  Its only effect is
 * what "function" has stored in the caller's memory, which must not contain pointers
 * to TOAST tables, as the subtransaction is rolled back.
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

	Assert(OidIsValid(code->role) && !OwnerIsExecuting());
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
