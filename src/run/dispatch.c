/*
 * dispatch.c
 *	  Claim a job, run it and settle it, in a background worker.
 *
 * Each job has one transaction.  The claim locks the job's row, the handler runs in
 * a subtransaction, and the outcome is written after that; all of it commits
 * together.  So the handler's work and the completion of its job commit or fail as
 * one.  If the handler fails, its subtransaction is rolled back, and the failure is
 * recorded in the same transaction, under the same lock.  If the process dies, the
 * row is unlocked at once.
 *
 * If a handler shares commits (share_commit), the transaction also takes the next
 * jobs, with a subtransaction for each, so that each still fails alone.  If the
 * commit fails, the work of all these jobs is rolled back, and they run again singly,
 * each in its own transaction.  As long as handlers of a type do not fail, the first
 * runs of the transaction have no subtransactions (group.c).  If one of them fails all
 * the same, these jobs run again with subtransactions.
 *
 * A procedure commits by itself; its claim and its settle are transactions of their
 * own (stepwise.c).
 *
 * The process is connected as the handler's role.  Only the code that settles, which
 * runs outside the handler's subtransaction, acts as the extension's owner.
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
#include "config/stale.h"
#include "job/admit.h"
#include "job/cancel_requests.h"
#include "job/current.h"
#include "job/frames.h"
#include "run/call.h"
#include "run/commit.h"
#include "run/dispatch.h"
#include "run/group.h"
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
 * Limits of a shared commit, beside taskq.share_commit_jobs.  No job is added once
 * the transaction has taken this time, or once its subtransactions have so many ids:
 * beyond 64 ids in one process, the snapshots of all processes become slower.
 */
#define MAX_SHARED_TIME (10 * 1000) /* microseconds */
#define MAX_SHARED_SUBXIDS 40

/* A transaction of a worker, with one run or with several that share its commit. */
typedef struct Turn
{
	Run			run;		   /* the current run */
	ClaimPlace	place;		   /* where the next claim goes on */
	bool		shares;		   /* the current run shares the commit */
	bool		commits_async; /* no run so far needs a commit that waits for the disk */
	TimestampTz started_at;
	int			n_runs; /* runs whose handler was found, the current one included */
	int			completed;
	int			failed;
} Turn;

static Turn			 turn;
static MemoryContext run_context = NULL; /* outlives the transaction: it is needed if the commit fails */
static int			 single_runs = 0;	 /* number of next runs that do not share, after a shared commit failed */
static int			 careful_runs = 0;	 /* number of next runs with a subtransaction each, after a run without one failed */

/* slot --------------------------------------------------------------------- */

/* Show the job in pg_stat_activity. */
static void
ReportActivity(const Run *run)
{
	char activity[TASKQ_NAME_MAX + 64] = "taskq: job ";
	int	 length = strlen(activity);

	/* Do not use snprintf(), which takes longer than many handlers do. */
	length += pg_lltoa(run->job.job_id, activity + length);
	length += strlcpy(activity + length, " (", sizeof(activity) - length);
	length += strlcpy(activity + length, run->task_type, sizeof(activity) - length);
	strlcpy(activity + length, ")", sizeof(activity) - length);
	pgstat_report_activity(STATE_RUNNING, activity);
}

/* Enter the run in this process's slot, so that others see it and can interrupt it. */
static void
PublishRun(Run *run)
{
	TaskqSlot *slot = ShmemMySlot();

	Assert(run->job.state == JOB_RUNNING && run->job.epoch != 0);
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
 * Accept no more interrupts for the run, because its handler has ended, and clear
 * one that has arrived since.  Returns whether somebody asked to cancel the run.
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

/* Clear the run from this process's slot, and count the runs, after the transaction has ended. */
static void
UnpublishRuns(void)
{
	TaskqSlot *slot = ShmemMySlot();

	Assert(!IsTransactionState());
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->job_id = 0;
	slot->completed += turn.completed;
	slot->failed += turn.failed;
	LWLockRelease(&slot->lock);
	BlameEnd();
}

/* prepare ------------------------------------------------------------------ */

/*
 * Cancel the job if somebody asked for that before PublishRun() showed others that
 * this process runs it.  Returns whether the job is cancelled.
 */
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

/* Begin a transaction with the isolation level and modes that workers use, whatever the role's defaults are. */
void
BeginJobTransaction(void)
{
	Assert(!IsTransactionState());
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	XactDeferrable = false;
}

/* turn --------------------------------------------------------------------- */

/*
 * Claim a job to run.  After a crash of the server, try the jobs that may have caused
 * it first.  The rules of admission (admit_alone.c) let no other job start meanwhile.
 * Returns false if there is no job.
 */
static bool
ClaimNext(const ClaimRequest *request, Run *run)
{
	int64 suspect;

	if (!BlamePending(&suspect) || suspect == 0)
		return ClaimToRun(request, &turn.place, &run->jobs, &run->job);
	if (request->routes->n == 0 || !ClaimByIdToRun(request, suspect, &run->jobs, &run->job))
		return false;
	BlameAlone(suspect);
	return true;
}

/*
 * Forget the last run, and claim a job for the turn.  After the first job of a turn,
 * claim only jobs whose handlers share commits.  Returns false if there is none.
 */
static bool
ClaimForTurn(const ClaimRequest *request)
{
	ClaimRequest shared = *request;

	MemoryContextReset(run_context);
	MemoryContextSwitchTo(run_context);
	memset(&turn.run, 0, sizeof(turn.run));
	if (turn.n_runs == 0)
		return ClaimNext(request, &turn.run);
	shared.shared_only = true;
	return ClaimToRun(&shared, &turn.place, &turn.run.jobs, &turn.run.job);
}

/* Run the claimed job and settle it.  Returns whether another job may follow in the transaction. */
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
	turn.commits_async = run->commits_async && (turn.n_runs == 0 || turn.commits_async);
	turn.n_runs++;
	run->is_bare = run->shares && careful_runs == 0 && GroupMayTake(run->task_type, run->job.started_at - turn.started_at);
	PublishRun(run);

	/* A request to cancel that was made before PublishRun() has interrupted nobody. */
	if (!WasCancelledBefore(run))
	{
		bool cancelled;

		if (run->form.stepwise)
			StepwiseCall(run);
		else
			RunHandler(run);
		CurrentReset(0);
		if (run->shares)
			GroupNote(run->task_type, run->error != NULL);
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

/*
 * Return whether this transaction may take another job.  What the last run left in
 * the session is reset; if that is not possible in this transaction, return false.
 */
static bool
MayGoOn(const ClaimRequest *request)
{
	return turn.n_runs < taskq_share_commit_jobs &&
		   ClockNow() - turn.started_at < MAX_SHARED_TIME &&
		   MyProc->subxidStatus.count < MAX_SHARED_SUBXIDS &&
		   request->config_version == ConfigVersion() &&
		   ResetBetweenRuns();
}

/*
 * Make the jobs of a shared commit that failed run singly.  All of their work was
 * rolled back, and it is not known which of them made the commit fail.
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

/* Record that this run has failed, whose transaction was rolled back with its outcome. */
static void
RecordAlone(ErrorData *error, bool cancelled)
{
	turn.completed = turn.failed = 0;
	turn.run.error = error;
	turn.run.job.last_outcome = OUTCOME_FAILED;
	RecordLostRun(&turn.run, cancelled, run_context);
	if (turn.run.job.last_outcome == OUTCOME_FAILED)
		turn.failed++;
}

/*
 * A run without a subtransaction has failed, and the work of all runs of the transaction
 * was rolled back.  Their jobs run again, with a subtransaction each.  This one, too: it
 * has seen the work of the others, which may not come about again.  But a run that was
 * interrupted would only take its time again, and the cause of that is not in the data.
 */
static void
RunCarefully(ErrorData *error, bool cancelled)
{
	turn.completed = turn.failed = 0;
	careful_runs = turn.n_runs;
	GroupNote(turn.run.task_type, true);
	if (turn.run.timed_out || turn.run.interrupted)
		RecordAlone(error, cancelled);
}

/*
 * Must this process run jobs of a transaction that was rolled back in another way than
 * before?  Another process does not know that, and would run them in the same way again.
 */
bool
DispatchMustRepeat(void)
{
	return single_runs > 0 || careful_runs > 0;
}

/*
 * Claim a job, run it, settle it, and commit.  If its handler shares commits, do the
 * same with the next jobs before the commit, as long as their handlers share it too.
 * The caller has begun the transaction.  Returns the number of runs (1 for a job that
 * could only be given back), or 0 if there was no job.
 *
 * An error before the first run begins is passed on, and ends the process.  A later
 * one, in a settle or in the commit, fails the run; in a shared commit, the jobs run
 * again singly instead.
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
	WaitEndOfClaim(false);
	PG_TRY();
	{
		while (RunClaimed() && MayGoOn(request) && ClaimForTurn(request))
			SetCurrentStatementStartTimestamp();
		RunCommit(turn.commits_async);
		single_runs = Max(single_runs - turn.n_runs, 0);
		careful_runs = Max(careful_runs - turn.n_runs, 0);
	}
	PG_CATCH();
	{
		ErrorData *error;
		bool	   cancelled;

		CurrentReset(0);
		if (turn.n_runs == 0)
			PG_RE_THROW();
		MemoryContextSwitchTo(run_context);
		error = CopyErrorData();
		FlushErrorState();
		cancelled = CloseToInterrupts(&turn.run);
		AbortCurrentTransaction();
		if (turn.run.has_undone)
			RunCarefully(error, cancelled);
		else if (turn.shares)
			RunSingly(error);
		else
			RecordAlone(error, false);
	}
	PG_END_TRY();
	FrameEnd(NULL);
	UnpublishRuns();
	ResetSession();
	AdmitRepeats(DispatchMustRepeat());
	return Max(turn.n_runs, 1);
}
