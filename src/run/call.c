/*
 * call.c
 *	  Calling a handler: in a subtransaction, with its search_path, under its
 *	  timer, and with nothing left of it but what it did or its error.
 */
#include "taskq.h"

#include <limits.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
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
#include "job/built.h"
#include "job/frames.h"
#include "registry/pin.h"
#include "run/call.h"
#include "run/prepare.h"
#include "run/reset.h"
#include "run/unwrap.h"
#include "shared/timer.h"

/* How many handlers are on the stack: more than one when they run jobs by hand. */
static int running = 0;

/* The one on top: the run that an interrupt is for. */
static const Run *innermost = NULL;

/* A run by hand was interrupted, and with it the one that called for it. */
static bool interrupt_passed = false;

/* run ---------------------------------------------------------------------- */

/* What the handler is called with. */
Datum
RunArgument(const Run *run)
{
	if (run->form.takes_job)
		return JobDatum(&run->job);
	return PointerGetDatum(run->job.payload);
}

/* Functions in SQL, which are mostly no more than an expression. */
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
 * Have deferred constraints fail here, where they are the handler's error.  In
 * the caller's own transaction they are the caller's, as deferred as they were.
 */
static void
CheckDeferredConstraints(void)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = NIL;
	statement->deferred = false;
	AfterTriggerSetState(statement);
}

/* Call the handler, inside its subtransaction. */
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
	if (!run->result_is_null)
	{
		/* while what it may point to, in a table, can be fetched */
		run->result = PointerGetDatum(PG_DETOAST_DATUM_COPY(run->result));
		ResultUnwrap(run);
	}
	PopActiveSnapshot();

	/* with a snapshot that sees what the handler did */
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
 * What the server has raised, noted as it happens: what reaches us in the end is
 * what the handler or its language has made of it.  PL/Perl and PL/Python raise it
 * anew as an error of their own.  That is an interrupt, whatever becomes of it; or
 * that a row-level policy has refused a row, by the code of a missing right.
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

/* A run begins, maybe inside another one, which is returned for RunLeave(). */
const Run *
RunEnter(Run *run)
{
	const Run *outer = innermost;

	if (outer == NULL)
		interrupt_passed = false;
	innermost = run;
	return outer;
}

/* It is over. */
void
RunLeave(Run *run, const Run *outer)
{
	if (interrupt_passed)
		run->interrupted = true;
	innermost = outer;
}

/* The interrupt of the run that is over was not for that one alone. */
void
RunPassInterrupt(void)
{
	interrupt_passed = true;
}

/* An error context callback: which job it was.  From an error on, memory is there to deal with it. */
void
RunDescribe(void *arg)
{
	Run *run = arg;

	MemoryAtMessage();
	NoteError(run);
	errcontext("taskq job " INT64_FORMAT " (%s), attempt %d", run->job.job_id, run->task_type, run->job.attempt);
}

/*
 * The bounds of a run: its time and, in a background worker, its memory.  They
 * are lifted before anything else is done, as that is not the handler's.
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
	/* a run by hand is within the ceiling of the run that it is inside of */
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
 * Have what is deferred fire, as it does at a commit, when others may follow in
 * the transaction: SET CONSTRAINTS would change what they are checked for and
 * when, and nothing can take it back.  Outside the subtransaction, which could
 * not undo that triggers have fired.  An error fails the shared commit; run
 * singly, the job then fails alone.
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
 * Have the session of a worker as the run wants it.  What the runs that follow
 * mostly want too stays: to set a setting for one run and to undo it has the
 * server look through all settings twice, and resolve search_path anew.
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

/*
 * Run the handler in a subtransaction and leave the session's settings as they
 * were.  What it did is kept or rolled back; its error, if any, is kept.
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
	ErrorContextCallback callback = { .callback = RunDescribe, .arg = run, .previous = error_context_stack };

	run->outer_frames = FrameBegin(&run->job, run->is_here);
	if (!run->is_here)
		PrepareSession(run);
	guc_level = NewGUCNestLevel();
	running++;
	BeginInternalSubTransaction("taskq");
	MemoryContextSwitchTo(context);
	outer_run = RunEnter(run);
	run->scope = BuiltNewScope();
	outer_scope = BuiltEnter(run->scope);
	PG_TRY();
	{
		error_context_stack = &callback;
		RunSetBounds(run);
		CallHandler(run);
		if (!run->shares)
			RunLiftBounds(run);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		RunLiftBounds(run);
		MemoryContextSwitchTo(context);
		run->error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		(void) FrameAppend(ERROR, run->error->sqlerrcode, run->error->message);
	}
	PG_END_TRY();
	BuiltLeave(outer_scope);
	RunLeave(run, outer_run);
	if (!run->is_here)
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
