/*
 * outcome.c
 *	  Settle a run in this process: by its handler's result or error, the job is
 *	  completed, failed, cancelled or given back.
 *
 * The outcome is written outside the handler's subtransaction, as the extension's
 * owner.  Only a retry function is called while the process is not the owner.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guard.h"
#include "base/text.h"
#include "config/handler.h"
#include "config/pause.h"
#include "job/cancel_requests.h"
#include "job/frames.h"
#include "job/lost_run.h"
#include "registry/retry_function.h"
#include "run/dispatch.h"
#include "run/outcome.h"
#include "run/setup_error.h"
#include "settle/settle.h"
#include "shared/shmem.h"
#include "shared/stats.h"
#include "store/owner.h"

/* Pause before a job runs again whose run was interrupted for an unknown reason. */
#define INTERRUPTED_PAUSE USECS_PER_SEC

/* failure ------------------------------------------------------------------ */

static char *
Sqlstate(int code)
{
	return pstrdup(unpack_sql_state(code));
}

/* Return whether the handler raised the error by taskq's functions, so that the error itself says how to treat it. */
static bool
IsOfTaskq(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_TQ_PERMANENT || error->sqlerrcode == ERRCODE_TQ_RETRYABLE;
}

typedef struct WishedInterval
{
	const char *text;
	int64		microseconds;
} WishedInterval;

static void
ReadInterval(void *arg)
{
	WishedInterval *wished = arg;

	wished->microseconds = IntervalMicroseconds(DatumGetIntervalP(
		DirectFunctionCall3(interval_in, CStringGetDatum(wished->text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
}

/* Return the delay that a handler asked for, or NO_MICROSECONDS if there is none or it is not a valid interval. */
static int64
WishedDelay(const ErrorData *error)
{
	WishedInterval wished = { error->column_name, 0 };
	int64		   delay;

	if (error->sqlerrcode != ERRCODE_TQ_RETRYABLE || error->column_name == NULL ||
		!Guard("read the delay that a handler wishes", ReadInterval, &wished))
		return NO_MICROSECONDS;
	delay = wished.microseconds;
	return delay < 0 ? NO_MICROSECONDS : Min(delay, INT64CONST(3660) * USECS_PER_DAY);
}

/* Fill in the failure of the attempt from the handler's error. */
static void
DescribeError(const Run *run, AttemptFailure *failure)
{
	const ErrorData *error = run->error;

	failure->outcome = "failed";
	failure->error_type = HandlerErrorType(run->task_type, error->sqlerrcode);
	failure->message = error->message;
	failure->sqlstate = Sqlstate(error->sqlerrcode);
	failure->detail = error->detail;
	failure->hint = error->hint;
	failure->context = error->context;
	failure->of_setup = ErrorIsOfSetup(run);
	if (IsOfTaskq(error))
	{
		if (error->datatype_name != NULL && IsName(error->datatype_name))
			failure->error_type = error->datatype_name;
		failure->error_code = error->constraint_name;
	}
	if (error->sqlerrcode == ERRCODE_INVALID_TRANSACTION_TERMINATION && !run->form.stepwise && error->hint == NULL)
		failure->hint = "Only a procedure can be a handler that commits: CREATE PROCEDURE, and register that.";
	if (error->sqlerrcode == ERRCODE_OUT_OF_MEMORY && run->has_memory_limit)
	{
		failure->message = psprintf("the job needed more memory than taskq.job_memory_limit, %s",
									GetConfigOptionByName("taskq.job_memory_limit", NULL, false));
		failure->hint = "Make the job do less at a time, or raise the setting.";
	}
}

/* Fill in the failure of an attempt that timed out.  The handler's error may be another one than the interrupt. */
static void
DescribeTimeout(const Run *run, AttemptFailure *failure)
{
	failure->outcome = "timeout";
	failure->error_type = ERROR_TIMEOUT;
	failure->message = psprintf("the job ran longer than its timeout of %g s", run->timeout / 1000000.0);
	failure->sqlstate = Sqlstate(ERRCODE_QUERY_CANCELED);
	if (run->error->sqlerrcode != ERRCODE_QUERY_CANCELED)
		failure->detail = psprintf("The handler then raised: %s", run->error->message);
	failure->context = run->error->context;
	if (IsOfTaskq(run->error))
		failure->error_code = run->error->constraint_name;
}

/*
 * Count a failure that is caused by the database's setup.  Return whether enough
 * different jobs in a row have failed so, and not all of one tenant.
 */
static bool
CountSetupFailure(const Run *run)
{
	const struct varlena *tenant = run->job.tenant_id;

	return StatsCountSetupFailure(run->task_type, run->job.job_id,
								  tenant == NULL ? NULL : text_to_cstring((const text *) tenant));
}

/*
 * Return whether the trial of the task type has failed with this run.  It has failed
 * if the failure has the message for which the type was paused, or if as many other
 * failures have been counted as would pause the type.  A single other failure may be
 * caused by the job's payload; it counts as an attempt of the job and does not prolong
 * the pause.  For a procedure, CommitClaim() has recorded the failed trial in advance.
 */
static bool
FailsTrial(const Run *run, const AttemptFailure *failure)
{
	const TaskqHandler *handler = HandlerFind(run->task_type);

	if (!run->on_trial || !failure->of_setup)
		return false;
	if (run->form.stepwise)
		return true;
	if (handler != NULL && handler->paused_because != NULL && strcmp(handler->paused_because, failure->message) == 0)
		return true;
	return CountSetupFailure(run);
}

/* Pause the task type after several failures that are caused by the database's setup. */
static void
NoteSetupFailure(const Run *run, const AttemptFailure *failure)
{
	if (CountSetupFailure(run) &&
		PauseForSetup(run->task_type, failure->message))
		ereport(WARNING,
				(errcode(run->error->sqlerrcode),
				 errmsg("task type \"%s\" is paused, because %d of its jobs in a row failed by the setup of the database",
						run->task_type, SETUP_FAILURES),
				 errdetail("The last one: %s", failure->message),
				 errhint("A job is tried in a minute, and then at longer intervals; the pause ends when it runs, or when the function or its registration changes. To end it now, call taskq.resume_handler('%s').", run->task_type)));
}

/*
 * Settle a failed run.  The caller is the extension's owner, and is not while the
 * retry function is called.
 */
static void
FailRun(Run *run, OwnerScope *scope)
{
	ErrorData	  *error = run->error;
	bool		   retryable;
	int64		   retry_in;
	bool		   fails_trial;
	AttemptFailure failure = { 0 };

	AssertOwner();
	Assert(error != NULL);
	if (run->timed_out)
		DescribeTimeout(run, &failure);
	else
		DescribeError(run, &failure);
	retryable = IsOfTaskq(error) ? error->sqlerrcode == ERRCODE_TQ_RETRYABLE : IsRetryableErrorType(failure.error_type);
	retry_in = WishedDelay(error);
	OwnerLeave(scope);
	RetryFunctionAsk(&run->job, &failure, &retryable, &retry_in);
	OwnerEnter(scope);
	fails_trial = FailsTrial(run, &failure);

	/* A failed trial does not cost the job an attempt. */
	if (fails_trial)
		run->job.max_attempts++;
	SettleFailed(&run->jobs, &run->job, OUTCOME_FAILED, &failure, retryable, retry_in);
	if (fails_trial && !run->form.stepwise)
		TrialFailed(run->task_type);
	if (failure.of_setup && !run->on_trial && !run->is_given)
		NoteSetupFailure(run, &failure);
}

/* settle ------------------------------------------------------------------- */

/* Settle a run that was cancelled: the attempt counts, and the job ends. */
static void
CancelRun(Run *run)
{
	char *reason = NULL;

	run->job.last_outcome = OUTCOME_CANCELLED;
	if (!CancelRequested(run->job.job_id, &reason) || reason == NULL)
		reason = "cancelled while it was running";
	run->job.last_error = ErrorText(reason);
	JobEnd(&run->jobs, &run->job, JOB_CANCELLED, NULL);
}

/*
 * Settle a run whose handler has raised an error.  If it was interrupted, the cause of
 * the interrupt decides and not the error.
 */
static void
SettleError(Run *run, bool cancelled, OwnerScope *scope)
{
	if (run->timed_out || !run->interrupted)
		FailRun(run, scope);
	else if (cancelled)
		CancelRun(run);
	else
		/* Nobody asked to cancel this run.  The attempt does not count, but the job pauses, as it may interrupt itself. */
		SettleGivenBack(&run->jobs, &run->job, OUTCOME_RELEASED, ClockNow() + INTERRUPTED_PAUSE);
}

/*
 * Write the outcome of a run in the current transaction.  A handler that returns has
 * completed its job even if it was interrupted.
 */
void
SettleRun(Run *run, bool cancelled)
{
	OwnerScope scope;

	OwnerEnter(&scope);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (run->error == NULL && run->snoozed_until != 0)
		SettleGivenBack(&run->jobs, &run->job, OUTCOME_SNOOZED, run->snoozed_until);
	else if (run->error == NULL)
		SettleCompleted(&run->jobs, &run->job,
						run->result_is_null ? NULL : (struct varlena *) DatumGetPointer(run->result));
	else
		SettleError(run, cancelled, &scope);
	if (run->error == NULL && run->on_trial)
		TrialPassed(run->task_type);
	FrameWrite();
	PopActiveSnapshot();
	StoreClose(&run->jobs, true);
	OwnerLeave(&scope);
}

/*
 * Record the failure of an attempt whose handler, settle or commit has failed and was
 * rolled back with the whole transaction.  This takes a transaction of its own, in which
 * the job's row must be locked anew; if somebody has taken the job meanwhile, nothing is
 * recorded.
 */
void
RecordLostRun(Run *run, bool cancelled, MemoryContext context)
{
	Run				 again = { 0 };
	OwnerScope		 scope;
	const TaskqSlot *slot = ShmemMySlot(); /* run->job is as the settle has left it */

	BeginJobTransaction();
	MemoryContextSwitchTo(context);
	PushActiveSnapshot(GetTransactionSnapshot());
	OwnerEnter(&scope);
	Assert(slot->job_id == run->job.job_id);
	if (JobOpenAndLock(&again.jobs, run->job.job_id, &again.job) == STORE_LOCKED &&
		LostRunRestore(&again.job, slot->epoch, slot->job_started_at, slot->worker_id))
	{
		again.job.runs_here = run->job.runs_here;
		again.job.handler_version = run->job.handler_version;
		again.error = run->error;
		strlcpy(again.task_type, run->task_type, sizeof(again.task_type));
		if (run->has_undone)
		{
			again.timeout = run->timeout;
			again.timed_out = run->timed_out;
			again.interrupted = run->interrupted;
		}
		SettleError(&again, cancelled, &scope);
		run->job.last_outcome = again.job.last_outcome;
		(void) FrameAppend(ERROR, run->error->sqlerrcode, run->error->message);
		FrameWrite();
	}
	StoreClose(&again.jobs, true);
	OwnerLeave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Give back a job whose handler cannot run, so that it waits again. */
void
GiveBackRun(Run *run)
{
	OwnerScope scope;

	OwnerEnter(&scope);
	PushActiveSnapshot(GetTransactionSnapshot());
	SettleGivenBack(&run->jobs, &run->job, OUTCOME_RELEASED, run->job.run_at);
	PopActiveSnapshot();
	StoreClose(&run->jobs, true);
	OwnerLeave(&scope);
}
