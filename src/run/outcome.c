/*
 * outcome.c
 *	  What becomes of a run in this process: completed, failed, cancelled or
 *	  given back, as its handler's return or error says.
 *
 * All is written below the handler's subtransaction, as the extension's owner,
 * which steps aside for a retry function.
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
#include "registry/retry_function.h"
#include "run/dispatch.h"
#include "run/outcome.h"
#include "settle/settle.h"
#include "shared/shmem.h"
#include "shared/stats.h"
#include "store/owner.h"

/* Before a job is run again that was interrupted for no reason known. */
#define INTERRUPTED_PAUSE USECS_PER_SEC

/* failure ------------------------------------------------------------------ */

static char *
Sqlstate(int code)
{
	return pstrdup(unpack_sql_state(code));
}

/* Raised by the handler on purpose, and so judged by nobody else. */
static bool
IsOfTaskq(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_TQ_PERMANENT || error->sqlerrcode == ERRCODE_TQ_RETRYABLE;
}

/*
 * Something is missing, of another kind or not allowed: more likely a migration
 * than this job.  What the payload may bring about in a database that is as it
 * should be, is not among it: that something exists already, a name that is too
 * long, a row that a policy refuses.
 */
static bool
IsOfSetup(const Run *run)
{
	int sqlstate = run->error->sqlerrcode;

	if (run->refused == sqlstate || HandlerDeclaresError(run->task_type, sqlstate))
		return false;
	switch (sqlstate)
	{
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_UNDEFINED_SCHEMA:
		case ERRCODE_AMBIGUOUS_COLUMN:
		case ERRCODE_AMBIGUOUS_FUNCTION:
		case ERRCODE_AMBIGUOUS_PARAMETER:
		case ERRCODE_AMBIGUOUS_ALIAS:
		case ERRCODE_DATATYPE_MISMATCH:
		case ERRCODE_WRONG_OBJECT_TYPE:
		case ERRCODE_CANNOT_COERCE:
		case ERRCODE_INVALID_COLUMN_REFERENCE:
		case ERRCODE_INVALID_FUNCTION_DEFINITION:
		case ERRCODE_SYNTAX_ERROR:
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return true;
		default:
			return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
	}
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

/* The delay that a handler wished; none when it is not an interval. */
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

/* What an error was, as the attempt keeps it. */
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
	failure->of_setup = IsOfSetup(run);
	if (IsOfTaskq(error))
	{
		if (error->datatype_name != NULL)
			failure->error_type = error->datatype_name;
		failure->error_code = error->constraint_name;
	}
	if (error->sqlerrcode == ERRCODE_OUT_OF_MEMORY && run->has_memory_limit)
	{
		failure->message = psprintf("the job needed more memory than taskq.job_memory_limit, %s",
									GetConfigOptionByName("taskq.job_memory_limit", NULL, false));
		failure->hint = "Have the job do less at a time, or raise the setting.";
	}
}

/* The run's time was over, whatever its handler has made of the interrupt. */
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

/* The database is not as the handler needs it: does the type rest therefore? */
static void
NoteSetupFailure(const Run *run, const AttemptFailure *failure)
{
	if (run->is_given)
		return;
	if (run->on_trial)
	{
		/* a procedure's has failed when it was claimed, unless it completes */
		if (!run->form.stepwise)
			TrialFailed(run->task_type);
		return;
	}
	if (StatsCountSetupFailure(run->task_type, run->job.job_id) && PauseForSetup(run->task_type, failure->message))
		ereport(WARNING,
				(errcode(run->error->sqlerrcode),
				 errmsg("task type \"%s\" is paused, as %d of its jobs in a row failed because of how the database is",
						run->task_type, SETUP_FAILURES),
				 errdetail("The last one: %s", failure->message),
				 errhint("A job is tried in a minute, and then at longer intervals; the pause ends when it runs, or when the function or its registration changes. To end it now, SELECT taskq.resume_handler('%s').", run->task_type)));
}

/* The caller is the owner; the retry function is asked while it is not. */
static void
FailRun(Run *run, OwnerScope *scope)
{
	ErrorData	  *error = run->error;
	bool		   retryable;
	int64		   retry_in;
	AttemptFailure failure = { 0 };

	if (run->timed_out)
		DescribeTimeout(run, &failure);
	else
		DescribeError(run, &failure);
	retryable = IsOfTaskq(error) ? error->sqlerrcode == ERRCODE_TQ_RETRYABLE : IsRetryableErrorType(failure.error_type);
	retry_in = WishedDelay(error);
	OwnerLeave(scope);
	RetryFunctionAsk(&run->job, &failure, &retryable, &retry_in);
	OwnerEnter(scope);
	/* a trial is the type's, and costs the job nothing */
	if (run->on_trial && failure.of_setup)
		run->job.max_attempts++;
	SettleFailed(&run->jobs, &run->job, OUTCOME_FAILED, &failure, retryable, retry_in);
	if (failure.of_setup)
		NoteSetupFailure(run, &failure);
}

/* settle ------------------------------------------------------------------- */

/* The run was cancelled: an attempt that counts, and the end of the job. */
static void
CancelRun(Run *run)
{
	char *reason = NULL;

	run->job.last_outcome = OUTCOME_CANCELLED;
	if (!CancelRequested(run->job.job_id, &reason) || reason == NULL)
		reason = "cancelled while it was running";
	run->job.last_error = ErrorText(reason);
	JobTransition(&run->jobs, &run->job, JOB_CANCELLED, NULL);
	CancelForget(run->job.job_id);
}

/*
 * Write the outcome, as the owner, in the same transaction.  What an interrupted
 * run has made of that does not matter, but for one that returned all the same.
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
	else if (run->timed_out || !run->interrupted)
		FailRun(run, &scope);
	else if (cancelled)
		CancelRun(run);
	else
		/* an interrupt that was meant for nobody: the job pays nothing for it but a moment, as it may interrupt itself */
		SettleGivenBack(&run->jobs, &run->job, OUTCOME_RELEASED, ClockNow() + INTERRUPTED_PAUSE);
	if (run->error == NULL && run->on_trial)
		TrialPassed(run->task_type);
	FrameWrite();
	PopActiveSnapshot();
	StoreClose(&run->jobs, true);
	OwnerLeave(&scope);
}

/*
 * Settle or commit failed, and with it everything that the handler did: record
 * that as this attempt's failure in a transaction of its own, if nobody has
 * taken the job meanwhile.
 */
void
RecordLostRun(Run *run, MemoryContext context)
{
	Run		   again = { 0 };
	OwnerScope scope;
	int		   attempt = ShmemMySlot()->attempt; /* a settle may have given it back */

	BeginJobTransaction();
	MemoryContextSwitchTo(context);
	PushActiveSnapshot(GetTransactionSnapshot());
	OwnerEnter(&scope);
	if (JobOpenAndLock(&again.jobs, run->job.job_id, &again.job) == STORE_LOCKED &&
		(again.job.state == JOB_RUNNING ? again.job.epoch == run->job.epoch : again.job.attempt == attempt - 1))
	{
		again.job.state = JOB_RUNNING;
		again.job.attempt = attempt;
		again.job.epoch = run->job.epoch;
		again.job.started_at = run->job.started_at;
		again.job.worker_id = TextOrNull(ShmemMySlot()->worker_id);
		again.job.runs_here = run->job.runs_here;
		again.job.handler_version = run->job.handler_version;
		again.error = run->error;
		strlcpy(again.task_type, run->task_type, sizeof(again.task_type));
		FailRun(&again, &scope);
		(void) FrameAppend(ERROR, run->error->sqlerrcode, run->error->message);
		FrameWrite();
	}
	StoreClose(&again.jobs, true);
	OwnerLeave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* A run that the registry has no handler for any more: the job waits on. */
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
