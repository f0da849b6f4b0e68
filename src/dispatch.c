/*
 * dispatch.c
 *	  Running one claimed job in this process.
 *
 * One transaction a job: the row is locked by the claim, the handler runs in a
 * subtransaction, the outcome is written beside it and all commits together.
 * What the handler did and that the job is completed are one thing; a failure
 * is rolled back to the subtransaction's start and recorded in the same commit
 * under the same lock.  If the process dies, the row is free at once.
 *
 * The process is connected as the handler's role.  Only the settle, below the
 * handler's subtransaction, runs as the extension's owner.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "args.h"
#include "call.h"
#include "cancel.h"
#include "claim.h"
#include "clock.h"
#include "current.h"
#include "dispatch.h"
#include "error.h"
#include "guc.h"
#include "guard.h"
#include "handler.h"
#include "owner.h"
#include "reset.h"
#include "route.h"
#include "settle.h"
#include "shmem.h"
#include "stats.h"
#include "wait.h"

/* Failures of class 42 or 28 in a row that pause a type. */
#define SETUP_FAILURES 3

/* slot --------------------------------------------------------------------- */

/* Let everybody see what this process runs, and let it be interrupted. */
static void
PublishRun(Run *run)
{
	TaskqSlot  *slot = ShmemMySlot();
	char		activity[TASKQ_NAME_MAX + 64];

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->job_id = run->job.job_id;
	slot->epoch = run->job.epoch;
	slot->attempt = run->job.attempt;
	slot->job_started_at = run->job.started_at;
	slot->cancel_epoch = 0;
	slot->interruptible = true;
	strlcpy(slot->task_type, run->task_type, sizeof(slot->task_type));
	LWLockRelease(&slot->lock);
	snprintf(activity, sizeof(activity), "taskq: job " INT64_FORMAT " (%s)", run->job.job_id, run->task_type);
	pgstat_report_activity(STATE_RUNNING, activity);
}

/*
 * The handler is over: from here on no interrupt is sent, and one that was
 * sent is not for the settle.  Was this run asked to be cancelled?
 */
static bool
CloseToInterrupts(Run *run)
{
	TaskqSlot  *slot = ShmemMySlot();
	bool		cancelled;

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->interruptible = false;
	cancelled = slot->cancel_epoch == run->job.epoch;
	LWLockRelease(&slot->lock);
	QueryCancelPending = false;
	return cancelled;
}

static void
UnpublishRun(const Run *run)
{
	TaskqSlot  *slot = ShmemMySlot();

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->job_id = 0;
	if (run->error == NULL)
		slot->completed++;
	else if (run->job.last_outcome == OUTCOME_FAILED)
		slot->failed++;
	LWLockRelease(&slot->lock);
}

/* settle ------------------------------------------------------------------- */

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

/* A missing table, column, function, right: more likely a migration than this job. */
static bool
IsOfSetup(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION ||
		ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
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
	WishedInterval wished = {error->column_name, 0};
	int64		delay;

	if (error->sqlerrcode != ERRCODE_TQ_RETRYABLE || error->column_name == NULL ||
		!Guard("read the delay that a handler wishes", ReadInterval, &wished))
		return NO_MICROSECONDS;
	delay = wished.microseconds;
	return delay < 0 ? NO_MICROSECONDS : Min(delay, INT64CONST(3660) * USECS_PER_DAY);
}

static void
FailRun(Run *run, bool timed_out)
{
	ErrorData  *error = run->error;
	AttemptFailure failure = {0};
	int			setup_failures = 0;

	failure.outcome = timed_out ? "timeout" : "failed";
	failure.error_type = timed_out ? ERROR_TIMEOUT :
		error->datatype_name != NULL && IsOfTaskq(error) ? error->datatype_name :
		HandlerErrorType(run->task_type, error->sqlerrcode);
	failure.of_setup = IsOfSetup(error->sqlerrcode);
	failure.message = timed_out ? psprintf("the job ran longer than its timeout of %g s", run->timeout / 1000000.0) :
		error->message;
	if (IsOfTaskq(error))
		failure.error_code = error->constraint_name;
	failure.sqlstate = Sqlstate(error->sqlerrcode);
	failure.detail = error->detail;
	failure.hint = error->hint;
	failure.context = error->context;
	SettleFailed(&run->jobs, &run->job, OUTCOME_FAILED, &failure,
				 IsOfTaskq(error) ? error->sqlerrcode == ERRCODE_TQ_RETRYABLE : IsRetryableErrorType(failure.error_type),
				 timed_out ? NO_MICROSECONDS : WishedDelay(error));
	if (failure.of_setup && !run->is_given)
		setup_failures = StatsCountSetupFailure(run->task_type);
	if (setup_failures > 0 && setup_failures % SETUP_FAILURES == 0)
	{
		(void) HandlerSetPaused(run->task_type, true);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("task type \"%s\" is paused after %d failures in a row", run->task_type, SETUP_FAILURES),
				 errdetail("The last one: %s", error->message),
				 errhint("When the database is as the handler needs it, SELECT taskq.resume_handler('%s').", run->task_type)));
	}
}

/* The run was cancelled: an attempt that counts, and the end of the job. */
static void
CancelRun(Run *run)
{
	char	   *reason = NULL;

	run->job.last_outcome = OUTCOME_CANCELLED;
	if (!CancelRequested(run->job.job_id, &reason) || reason == NULL)
		reason = "cancelled while it was running";
	run->job.last_error = ErrorText(reason);
	JobTransition(&run->jobs, &run->job, JOB_CANCELLED, NULL);
	CancelForget(run->job.job_id);
}

/* By the server; a handler that raises 57014 of its own accord has failed. */
static bool
WasInterrupted(const Run *run)
{
	return run->error != NULL && run->error->sqlerrcode == ERRCODE_QUERY_CANCELED &&
		run->error->funcname != NULL && strcmp(run->error->funcname, "ProcessInterrupts") == 0;
}

static bool
TimedOut(const Run *run)
{
	return WasInterrupted(run) && run->deadline != 0 && ClockNow() >= run->deadline;
}

/* Was the job asked to be cancelled between claim and start?  Then it is. */
static bool
WasCancelledBefore(Run *run)
{
	OwnerScope	scope;
	bool		cancelled;

	OwnerEnter(&scope);
	cancelled = CancelRequested(run->job.job_id, NULL);
	if (cancelled)
	{
		(void) CloseToInterrupts(run);
		PushActiveSnapshot(GetTransactionSnapshot());
		run->job.attempt--;
		(void) SettleIfCancelled(&run->jobs, &run->job);
		PopActiveSnapshot();
		StoreClose(&run->jobs, true);
	}
	OwnerLeave(&scope);
	return cancelled;
}

/* Write the outcome, as the owner, in the same transaction. */
static void
SettleRun(Run *run, bool cancelled)
{
	OwnerScope	scope;
	bool		interrupted = WasInterrupted(run);
	bool		timed_out = TimedOut(run);

	OwnerEnter(&scope);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (run->error == NULL)
		SettleCompleted(&run->jobs, &run->job,
						run->result_is_null ? NULL : (struct varlena *) DatumGetPointer(run->result));
	else if (timed_out || !interrupted)
		FailRun(run, timed_out);
	else if (cancelled)
		CancelRun(run);
	else
		/* an interrupt that was meant for nobody: the job pays nothing for it */
		SettleGivenBack(&run->jobs, &run->job, OUTCOME_RELEASED, run->job.run_at);
	PopActiveSnapshot();
	StoreClose(&run->jobs, true);
	OwnerLeave(&scope);
}

/* dispatch ----------------------------------------------------------------- */

/*
 * Read what the run needs from the registry, or from the handler given instead;
 * false: it cannot run now.
 */
static bool
PrepareRun(Run *run, const GivenHandler *given)
{
	const TaskqHandler *handler;

	strlcpy(run->task_type, RouteById(run->job.route_id)->task_type, sizeof(run->task_type));
	handler = HandlerFind(run->task_type);
	if (given != NULL)
	{
		run->is_given = true;
		run->function = given->function;
		run->takes_job = given->takes_job;
		run->search_path = pstrdup(namespace_search_path);
		run->timeout = run->job.timeout != NULL ? IntervalMicroseconds(run->job.timeout) : 0;
		return true;
	}
	if (handler == NULL || handler->signature == NULL || strcmp(handler->status, "ok") != 0 ||
		handler->run_as != GetSessionUserId())
		return false;
	run->function = handler->function;
	run->takes_job = handler->takes_job;
	run->search_path = pstrdup(handler->search_path != NULL ? handler->search_path : "");
	run->timeout = run->job.timeout != NULL ? IntervalMicroseconds(run->job.timeout) :
		handler->timeout != NO_MICROSECONDS ? handler->timeout : (int64) taskq_job_timeout * 1000;
	return true;
}

/* A transaction as every one of a worker's is, whatever its role's defaults. */
void
BeginJobTransaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	XactDeferrable = false;
}

/*
 * Settle or commit failed, and with it everything that the handler did: record
 * that as this attempt's failure in a transaction of its own, if nobody has
 * taken the job meanwhile.
 */
static void
RecordLostRun(Run *run, MemoryContext context)
{
	Run			again = {0};
	OwnerScope	scope;

	BeginJobTransaction();
	MemoryContextSwitchTo(context);
	PushActiveSnapshot(GetTransactionSnapshot());
	OwnerEnter(&scope);
	if (JobOpenAndLock(&again.jobs, run->job.job_id, &again.job) == STORE_LOCKED &&
		again.job.state != JOB_RUNNING && again.job.attempt == run->job.attempt - 1)
	{
		again.job.state = JOB_RUNNING;
		again.job.attempt = run->job.attempt;
		again.job.epoch = run->job.epoch;
		again.job.started_at = run->job.started_at;
		again.job.worker_id = TextOrNull(ShmemMySlot()->worker_id);
		again.error = run->error;
		strlcpy(again.task_type, run->task_type, sizeof(again.task_type));
		FailRun(&again, false);
	}
	StoreClose(&again.jobs, true);
	OwnerLeave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* A run that the registry has no handler for any more: the job waits on. */
static void
GiveBack(Run *run)
{
	OwnerScope	scope;

	OwnerEnter(&scope);
	PushActiveSnapshot(GetTransactionSnapshot());
	SettleGivenBack(&run->jobs, &run->job, OUTCOME_RELEASED, run->job.run_at);
	PopActiveSnapshot();
	StoreClose(&run->jobs, true);
	OwnerLeave(&scope);
}

/*
 * Claim a job, run it, settle it, commit.  False: there was none.  An error
 * before the handler is called ends the process; one after it fails the run.
 */
bool
DispatchNext(const ClaimRequest *request)
{
	/* outlives the transaction, for the failure of its commit */
	static MemoryContext run_context = NULL;
	Run		   *run;
	volatile bool ran = false;	/* the handler was called */

	if (run_context == NULL)
		run_context = AllocSetContextCreate(TopMemoryContext, "taskq run", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(run_context);
	MemoryContextSwitchTo(run_context);
	run = palloc0(sizeof(Run));
	if (!ClaimToRun(request, &run->jobs, &run->job))
		return false;

	WaitEndOfClaim();
	CurrentPush(&run->job);
	PG_TRY();
	{
		if (PrepareRun(run, NULL))
		{
			PublishRun(run);
			ran = true;

			/* a request from before others could see what we run has found nobody */
			if (!WasCancelledBefore(run))
			{
				RunHandler(run);
				CurrentReset(0);
				SettleRun(run, CloseToInterrupts(run));
			}
		}
		else
		{
			CurrentReset(0);
			GiveBack(run);
		}
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		CurrentReset(0);
		if (!ran)
			PG_RE_THROW();
		MemoryContextSwitchTo(run_context);
		run->error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		RecordLostRun(run, run_context);
	}
	PG_END_TRY();
	UnpublishRun(run);
	ResetSession();
	return true;
}

/*
 * Claim a job, the one named or the next of the request, run and settle it in
 * the caller's transaction, which it commits or rolls back with the rest.
 * False: there was none.  An interrupt of the caller's statement is the
 * statement's, not the handler's error, and leaves the job as it was.
 */
bool
DispatchHere(const ClaimRequest *request, int64 job_id, const GivenHandler *given, RunReport *report)
{
	Run		   *run = palloc0(sizeof(Run));
	int			depth;

	if (!(job_id != 0 ? ClaimByIdToRun(request, job_id, &run->jobs, &run->job) :
		  ClaimToRun(request, &run->jobs, &run->job)))
		return false;
	depth = CurrentPush(&run->job);
	PG_TRY();
	{
		bool		can_run = PrepareRun(run, given);

		run->is_here = true;

		if (can_run)
			RunHandler(run);
		CurrentReset(depth);
		if (WasInterrupted(run) && !TimedOut(run))
			ReThrowError(run->error);
		if (can_run)
			SettleRun(run, false);
		else
			GiveBack(run);
	}
	PG_FINALLY();
	{
		CurrentReset(depth);
	}
	PG_END_TRY();
	report->job_id = run->job.job_id;
	strlcpy(report->task_type, run->task_type, sizeof(report->task_type));
	report->state = JobStateName(&run->job);
	report->result = run->error == NULL && !run->result_is_null && run->job.state == JOB_COMPLETED ?
		(struct varlena *) DatumGetPointer(run->result) : NULL;
	report->error = run->error == NULL ? NULL :
		run->job.last_error != NULL ? text_to_cstring((text *) run->job.last_error) : run->error->message;
	return true;
}
