/*
 * call.c
 *	  Call a handler: in a subtransaction, with its search_path and within its time
 *	  limit.  Afterwards the session is as before, and the run has the handler's
 *	  result or its error.
 *
 * This file has more than 400 lines, as all that surrounds the call of a handler must
 * be undone in the reverse order, and is easier to check in one place.
 */
#include "taskq.h"

#include <limits.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/injection_point.h"
#include "config/handler.h"
#include "job/admit.h"
#include "job/built.h"
#include "job/frames.h"
#include "registry/compiled.h"
#include "registry/pin.h"
#include "run/call.h"
#include "run/prepare.h"
#include "run/reset.h"
#include "run/unwrap.h"
#include "shared/timer.h"
#include "store/owner.h"

/* Number of handlers on the stack.  It is more than one if a handler runs jobs by hand. */
static int running = 0;

/* The run of the handler on top of the stack, or NULL.  An interrupt is for that run. */
static const Run *innermost = NULL;

/* Whether a handler that runs without a subtransaction has rolled back the transaction itself. */
static bool rolled_back = false;

/* Whether a run by hand was interrupted, so that the outer runs count as interrupted too. */
static bool interrupt_passed = false;

/* run ---------------------------------------------------------------------- */

/* Return the argument of the handler: the job, or its payload. */
Datum
RunArgument(const Run *run)
{
	if (run->form.takes_job)
		return JobDatum(&run->job);
	return PointerGetDatum(run->job.payload);
}

/* Call an SQL function by its planned expression, which mostly contains the function's body. */
static void
CallByExpression(Run *run, Expr *call, Datum argument)
{
	ParamListInfo params = makeParamList(1);
	ExprContext	 *context = CreateStandaloneExprContext();

	params->params[0].value = argument;
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = RunArgumentType(run);
	context->ecxt_param_list_info = params;
	run->result = ExecEvalExpr(ExecInitExprWithParams(call, params), context, &run->result_is_null);
	FreeExprContext(context, true);
}

static void
CallByFmgr(Run *run, ReadyHandler *ready, Datum argument)
{
	LOCAL_FCINFO(fcinfo, 1);

	fcinfo->args[0].value = argument;
	fcinfo->args[0].isnull = false;
	InitFunctionCallInfoData(*fcinfo, &ready->flinfo, 1, InvalidOid, NULL, NULL);
	run->result = FunctionCallInvoke(fcinfo);
	run->result_is_null = fcinfo->isnull;
}

/*
 * Check all deferred constraints now (SET CONSTRAINTS ALL IMMEDIATE), so that a
 * violation is the handler's error.  Runs by hand do not call this: in the caller's
 * transaction, constraints stay as deferred as the caller has set them.
 */
static void
CheckDeferredConstraints(void)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = NIL;
	statement->deferred = false;
	AfterTriggerSetState(statement);
}

TASKQ_NORETURN static void
RefuseTransactionEnd(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("a handler cannot end the transaction in which it runs")));
}

/*
 * Called when a transaction ends.  A subtransaction keeps code in C from committing
 * (SPI_commit) in a handler.  Without one, this does, and the run is then repeated in a
 * subtransaction.
 */
static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if (innermost == NULL || !innermost->is_bare)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		RefuseTransactionEnd();
	if (event == XACT_EVENT_ABORT)
		rolled_back = true;
}

/* Called once in each background worker. */
void
RunInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
}

/* Call the handler.  The caller has begun its subtransaction, unless it runs without one. */
static void
CallHandler(Run *run)
{
	ReadyHandler *ready;

	if (run->is_here)
	{
		(void) set_config_option("search_path", run->search_path, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		PinSettings();
	}
	if (run->lock_timeout != NO_MICROSECONDS)
		(void) set_config_option("lock_timeout", psprintf("%dms", (int) Min((run->lock_timeout + 999) / 1000, INT_MAX)),
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
	ready = RunMakeReady(run, running > 1);
	if (ready->call != NULL)
		CallByExpression(run, ready->call, RunArgument(run));
	else
		CallByFmgr(run, ready, RunArgument(run));
	if (run->is_bare && rolled_back)
		RefuseTransactionEnd();
	if (!run->result_is_null)
	{
		/* Detoast while the snapshot is active: the result may point to a TOAST table. */
		run->result = PointerGetDatum(PG_DETOAST_DATUM_COPY(run->result));
		ResultUnwrap(run);
	}
	PopActiveSnapshot();

	/* The constraints must be checked with a snapshot that sees what the handler did. */
	CommandCounterIncrement();
	if (!run->is_here && !run->shares)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		CheckDeferredConstraints();
		PopActiveSnapshot();
	}
}

static bool
IsRaisedBy(const ErrorData *error, const char *function)
{
	return error->funcname != NULL && strcmp(error->funcname, function) == 0;
}

/*
 * Note two kinds of errors of the server at the moment when they are raised: an
 * interrupt, and a row that a row-level security policy refuses, which has the
 * SQLSTATE of a missing privilege.  The error that finally leaves the handler may be
 * another one: handlers catch errors, and PL/Perl and PL/Python replace them by
 * errors of their own.
 */
static void
NoteError(Run *run)
{
	MemoryContext old;
	ErrorData	 *error;
	int			  sqlstate = geterrcode();

	if (run != innermost || (sqlstate != ERRCODE_QUERY_CANCELED && sqlstate != ERRCODE_INSUFFICIENT_PRIVILEGE))
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	if (IsRaisedBy(error, "ProcessInterrupts"))
		run->interrupted = true;
	if (sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE)
		run->refused = IsRaisedBy(error, "ExecWithCheckOptions") ? sqlstate : 0;
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
}

/* Make a run the innermost one.  Returns the run that it is inside of, or NULL, for RunLeave(). */
const Run *
RunEnter(Run *run)
{
	const Run *outer = innermost;

	if (outer == NULL)
		interrupt_passed = false;
	innermost = run;
	return outer;
}

/* End the innermost run. */
void
RunLeave(Run *run, const Run *outer)
{
	if (interrupt_passed)
		run->interrupted = true;
	innermost = outer;
}

/* Note that the interrupt of the run that has just ended is also for the runs outside of it. */
void
RunPassInterrupt(void)
{
	interrupt_passed = true;
}

/* The error context callback of a run: name the job.  An error also lifts the memory limit. */
void
RunDescribe(void *arg)
{
	Run *run = arg;

	MemoryAtMessage();
	NoteError(run);
	errcontext("taskq job " INT64_FORMAT " (%s), attempt %d", run->job.job_id, run->task_type, run->job.attempt);
}

/*
 * Set the limits of a run: its time and, in a background worker, its memory.  They
 * are lifted as soon as the handler has ended, since taskq's own work must not fail
 * by them.
 */
void
RunSetBounds(Run *run)
{
	if (run->timeout > 0)
	{
		run->deadline = ClockNow() + Min(run->timeout, (int64) INT_MAX * 1000);
		run->outer_deadline = TimerArm(run->deadline);
	}
	if (!run->is_here)
		run->has_memory_limit = MemoryLimit();
}

void
RunLiftBounds(Run *run)
{
	/* A run by hand has no limit of its own; the limit of an outer run stays in force. */
	if (run->has_memory_limit)
		MemoryUnlimit();
	if (run->deadline != 0)
	{
		if (TimerFired(run->deadline))
			run->timed_out = true;
		TimerRestore(run->outer_deadline);
	}
	if (!run->is_here)
		ResetTimers();
}

/*
 * Fire deferred triggers as a commit does, in a transaction in which other jobs may
 * follow.  CheckDeferredConstraints() cannot be used there, because SET CONSTRAINTS
 * lasts until the transaction ends.  The caller has ended the subtransaction, whose
 * rollback could not undo that triggers have fired.  An error fails the shared
 * commit; the job then runs singly, and fails alone.
 */
static void
FireDeferred(Run *run)
{
	PG_TRY();
	{
		AfterTriggerFireDeferred();
	}
	PG_FINALLY();
	{
		RunLiftBounds(run);
	}
	PG_END_TRY();
}

/*
 * Prepare the session of a worker for a run.  search_path is set for the session and
 * not reset after the run, because the next run mostly has the same: setting and
 * resetting it makes the server look through all settings twice and resolve the path
 * anew.
 */
static void
PrepareSession(const Run *run)
{
	ResetBeforeRun();
	FrameListen(true);
	if (strcmp(namespace_search_path, run->search_path) != 0)
		(void) set_config_option("search_path", run->search_path, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SET, true, 0, false);
}

/* Begin the subtransaction of a run, unless it runs without one. */
static void
BeginRun(Run *run)
{
	MemoryContext context = CurrentMemoryContext;

	if (run->is_bare)
		rolled_back = false;
	else
		BeginInternalSubTransaction("taskq");
	MemoryContextSwitchTo(context);
}

/* Roll back what a run that has raised an error has done, and keep the error. */
static void
UndoRun(Run *run, MemoryContext context)
{
	MemoryContextSwitchTo(context);
	run->error = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	(void) FrameAppend(ERROR, run->error->sqlerrcode, run->error->message);
}

/*
 * Run the handler in a subtransaction, and restore the session's settings.  If the
 * handler returns, its work is kept and run->result set.  If it raises an error, its
 * work is rolled back and run->error set.
 *
 * Without a subtransaction (is_bare), the error is passed on.  The caller must roll back
 * the transaction, which restores the settings, too.
 */
void
RunHandler(Run *run)
{
	MemoryContext		 context = CurrentMemoryContext;
	ResourceOwner		 owner = CurrentResourceOwner;
	int					 guc_level;
	int					 outer = running;
	const Run			*outer_run;
	uint64				 outer_scope;
	uint32				 outer_side = 0;
	ErrorContextCallback callback = { .callback = RunDescribe, .arg = run, .previous = error_context_stack };

	Assert(run->job.state == JOB_RUNNING && !OwnerIsExecuting());
	run->outer_frames = FrameBegin(&run->job, run->is_here);
	if (!run->is_here)
		PrepareSession(run);
	guc_level = NewGUCNestLevel();
	running++;
	BeginRun(run);
	outer_run = RunEnter(run);
	run->scope = BuiltNewScope();
	outer_scope = BuiltEnter(run->scope);
	if (run->is_here)
		outer_side = CompiledEnter(GetUserId(), run->search_path);
	AdmitCalled(run->job.job_id);
	PG_TRY();
	{
		error_context_stack = &callback;
		RunSetBounds(run);
		CallHandler(run);
		if (!run->shares)
			RunLiftBounds(run);
		if (!run->is_bare)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		RunLiftBounds(run);
		if (run->is_bare)
		{
			run->has_undone = true;
			BuiltLeave(outer_scope);
			RunLeave(run, outer_run);
			FrameListen(false);
			running = outer;
			PG_RE_THROW();
		}
		UndoRun(run, context);
	}
	PG_END_TRY();
	BuiltLeave(outer_scope);
	RunLeave(run, outer_run);
	if (run->is_here)
		CompiledLeave(outer_side);
	else
		FrameListen(false);
	TASKQ_INJECTION_POINT("run-returned");
	running = outer;
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (run->shares && run->error == NULL)
		FireDeferred(run);
	error_context_stack = callback.previous;
	AtEOXact_GUC(false, guc_level);
}
