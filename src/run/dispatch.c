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
 * A handler may share commits (share_commit): then the transaction takes the
 * jobs that follow, too, a subtransaction each, and each still fails alone.
 * When the commit fails, nothing has happened, and the jobs are run again
 * singly, each in its own transaction.
 *
 * A procedure commits as it goes, and is claimed and settled in transactions of
 * their own (stepwise.c).
 *
 * The process is connected as the handler's role.  Only the settle, below the
 * handler's subtransaction, runs as the extension's owner.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/guc.h"
#include "claim/claim.h"
#include "job/cancel_requests.h"
#include "job/current.h"
#include "job/frames.h"
#include "run/call.h"
#include "run/dispatch.h"
#include "run/outcome.h"
#include "run/prepare.h"
#include "run/reset.h"
#include "run/stepwise.h"
#include "settle/settle.h"
#include "shared/blame.h"
#include "shared/shmem.h"
#include "shared/wait.h"
#include "store/owner.h"

/*
 * A shared commit: no more jobs than the setting says, none begun after this
 * time, and none when the subtransactions have used as many ids, of which a
 * process can show 64 before everybody's snapshots become slower.
 */
#define MAX_SHARED_TIME (10 * 1000) /* microseconds */
#define MAX_SHARED_SUBXIDS 40

/* A transaction of a worker: one run, or some that share its commit. */
typedef struct Turn
{
	Run			run;   /* the one in hand */
	ClaimPlace	place; /* where the next one is claimed */
	bool		shares;
	TimestampTz started_at;
	int			n_runs;
	int			completed;
	int			failed;
} Turn;

static Turn			 turn;
static MemoryContext run_context = NULL; /* outlives the transaction, for the failure of its commit */
static int			 single_runs = 0;	 /* so many are not to share, as the commit that they shared has failed */

/* slot --------------------------------------------------------------------- */

/* The text of this process's row in pg_stat_activity. */
static void
ReportActivity(const Run *run)
{
	char activity[TASKQ_NAME_MAX + 64] = "taskq: job ";
	int	 length = strlen(activity);

	/* not by snprintf(), which costs more than many a handler */
	length += pg_lltoa(run->job.job_id, activity + length);
	length += strlcpy(activity + length, " (", sizeof(activity) - length);
	length += strlcpy(activity + length, run->task_type, sizeof(activity) - length);
	strlcpy(activity + length, ")", sizeof(activity) - length);
	pgstat_report_activity(STATE_RUNNING, activity);
}

/* Let everybody see what this process runs, and let it be interrupted. */
static void
PublishRun(Run *run)
{
	TaskqSlot *slot = ShmemMySlot();

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->job_id = run->job.job_id;
	slot->epoch = run->job.epoch;
	slot->attempt = run->job.attempt;
	slot->job_started_at = run->job.started_at;
	slot->cancel_epoch = 0;
	slot->cancelled_at = 0;
	slot->deadline = run->timeout > 0 ? run->job.started_at + run->timeout : 0;
	slot->timed_out = slot->stuck = false;
	slot->interruptible = true;
	strlcpy(slot->task_type, run->task_type, sizeof(slot->task_type));
	BlameBegin(slot);
	LWLockRelease(&slot->lock);
	ReportActivity(run);
}

/*
 * The handler is over: from here on no interrupt is sent, and one that was
 * sent is not for the settle.  Was this run asked to be cancelled?
 */
static bool
CloseToInterrupts(Run *run)
{
	TaskqSlot *slot = ShmemMySlot();
	bool	   cancelled;

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->interruptible = false;
	cancelled = slot->cancel_epoch == run->job.epoch;
	LWLockRelease(&slot->lock);
	QueryCancelPending = false;
	return cancelled;
}

/* The transaction is over. */
static void
UnpublishRuns(void)
{
	TaskqSlot *slot = ShmemMySlot();

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->job_id = 0;
	slot->completed += turn.completed;
	slot->failed += turn.failed;
	LWLockRelease(&slot->lock);
	BlameEnd();
}

/* prepare ------------------------------------------------------------------ */

/* Was the job asked to be cancelled between claim and start?  Then it is. */
static bool
WasCancelledBefore(Run *run)
{
	OwnerScope scope;
	bool	   cancelled;

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

/* turn --------------------------------------------------------------------- */

/*
 * Claim a job to run; after a crash of the server first those that it may be the
 * fault of, alone.
 */
static bool
ClaimNext(const ClaimRequest *request, Run *run)
{
	int64 job_id;

	if (!BlamePending(&job_id))
		return ClaimToRun(request, &turn.place, &run->jobs, &run->job);
	if (job_id == 0 || request->routes->n == 0 || !ClaimByIdToRun(request, job_id, &run->jobs, &run->job))
		return false;
	BlameAlone(job_id);
	return true;
}

/* Forget the last run and claim a job; false: there is none. */
static bool
ClaimForTurn(const ClaimRequest *request)
{
	ClaimRequest shared = *request;
	int64		 suspect;

	MemoryContextReset(run_context);
	MemoryContextSwitchTo(run_context);
	memset(&turn.run, 0, sizeof(turn.run));
	if (turn.n_runs == 0)
		return ClaimNext(request, &turn.run);
	shared.shared_only = true;
	return !BlamePending(&suspect) && ClaimToRun(&shared, &turn.place, &turn.run.jobs, &turn.run.job);
}

/* Run the claimed job and settle it; false: the transaction must end with it. */
static bool
RunClaimed(void)
{
	Run *run = &turn.run;

	CurrentPush(&run->job);
	if (!PrepareRun(run, NULL))
	{
		CurrentReset(0);
		GiveBackRun(run);
		return false;
	}
	if (single_runs > 0)
		run->shares = false;
	turn.shares = run->shares;
	turn.n_runs++;
	PublishRun(run);

	/* a request from before others could see what we run has found nobody */
	if (!WasCancelledBefore(run))
	{
		bool cancelled;

		if (run->form.stepwise)
			StepwiseCall(run);
		else
			RunHandler(run);
		CurrentReset(0);
		cancelled = CloseToInterrupts(run);
		if (!run->form.stepwise || StepwiseReclaim(run))
			SettleRun(run, cancelled);
		if (run->job.last_outcome == OUTCOME_COMPLETED)
			turn.completed++;
		else if (run->job.last_outcome == OUTCOME_FAILED)
			turn.failed++;
	}
	CurrentReset(0);
	return run->shares;
}

/* May this transaction take another job, and is nothing left of the last one? */
static bool
MayGoOn(const ClaimRequest *request)
{
	return turn.n_runs < taskq_share_commit_jobs &&
		   ClockNow() - turn.started_at < MAX_SHARED_TIME &&
		   MyProc->subxidStatus.count < MAX_SHARED_SUBXIDS &&
		   request->catalog_version == CatalogVersion() &&
		   ResetBetweenRuns();
}

/*
 * A shared commit has failed: nothing has happened to any of its jobs, and
 * nothing is known against any but that they do not go together.
 */
static void
RunSingly(const ErrorData *error)
{
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("a shared commit failed, so its taskq jobs are run singly"),
			 errdetail("Jobs: %d. Error: %s", turn.n_runs, error->message)));
	single_runs = turn.n_runs;
	turn.completed = turn.failed = 0;
}

/*
 * Claim a job, run it, settle it, commit; and with it, if its handler wants
 * that, the jobs that follow in order, as far as theirs do.  How many there
 * were.  An error before a handler is called ends the process; one after it
 * fails the run, or has the jobs of a shared commit run again, one by one.
 */
int
DispatchNext(const ClaimRequest *request)
{
	if (run_context == NULL)
		run_context = AllocSetContextCreate(TopMemoryContext, "taskq run", ALLOCSET_DEFAULT_SIZES);
	memset(&turn, 0, sizeof(turn));
	if (!ClaimForTurn(request))
		return 0;
	turn.started_at = turn.run.job.started_at;
	WaitEndOfClaim();
	PG_TRY();
	{
		while (RunClaimed() && MayGoOn(request) && ClaimForTurn(request))
			SetCurrentStatementStartTimestamp();
		CommitTransactionCommand();
		single_runs = Max(single_runs - turn.n_runs, 0);
	}
	PG_CATCH();
	{
		ErrorData *error;

		CurrentReset(0);
		if (turn.n_runs == 0)
			PG_RE_THROW();
		MemoryContextSwitchTo(run_context);
		error = CopyErrorData();
		FlushErrorState();
		(void) CloseToInterrupts(&turn.run);
		AbortCurrentTransaction();
		if (turn.shares)
			RunSingly(error);
		else
		{
			/* what was counted is undone with the rest */
			turn.completed = turn.failed = 0;
			turn.run.error = error;
			RecordLostRun(&turn.run, run_context);
			turn.failed++;
		}
	}
	PG_END_TRY();
	FrameEnd(NULL);
	UnpublishRuns();
	ResetSession();
	return Max(turn.n_runs, 1);
}
