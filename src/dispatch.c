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
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "args.h"
#include "blame.h"
#include "call.h"
#include "cancel.h"
#include "claim.h"
#include "clock.h"
#include "current.h"
#include "dispatch.h"
#include "error.h"
#include "guc.h"
#include "handler.h"
#include "outcome.h"
#include "owner.h"
#include "reset.h"
#include "route.h"
#include "settle.h"
#include "shmem.h"
#include "wait.h"

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
	slot->cancelled_at = 0;
	slot->deadline = run->timeout > 0 ? ClockNow() + run->timeout : 0;
	slot->timed_out = slot->stuck = false;
	slot->interruptible = true;
	strlcpy(slot->task_type, run->task_type, sizeof(slot->task_type));
	LWLockRelease(&slot->lock);
	BlameBegin(slot);
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
	if (run->error == NULL && run->job.last_outcome == OUTCOME_COMPLETED)
		slot->completed++;
	else if (run->job.last_outcome == OUTCOME_FAILED)
		slot->failed++;
	LWLockRelease(&slot->lock);
	BlameEnd();
}

/* dispatch ----------------------------------------------------------------- */

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
 * Claim a job to run; after a crash of the server first those that it may be the
 * fault of, alone.
 */
static bool
ClaimNext(const ClaimRequest *request, Run *run)
{
	int64		job_id;

	if (!BlamePending(&job_id))
		return ClaimToRun(request, &run->jobs, &run->job);
	if (job_id == 0 || request->routes->n == 0 || !ClaimByIdToRun(request, job_id, &run->jobs, &run->job))
		return false;
	BlameAlone(job_id);
	return true;
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
	if (!ClaimNext(request, run))
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
			GiveBackRun(run);
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
		if (RunWasInterrupted(run) && !RunTimedOut(run))
			ReThrowError(run->error);
		if (can_run)
			SettleRun(run, false);
		else
			GiveBackRun(run);
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
