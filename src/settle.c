/*
 * settle.c
 *	  The state machine: every change of a job's state goes through
 *	  JobTransition(), and every settle of a claim through LockClaim().
 *
 * The fence: whoever settles a job says which claim it was given by.  An epoch
 * is drawn from a sequence under the row's lock and carries the timeline, so
 * no claim that was rolled back and no primary that died has given it to
 * anybody else.
 */
#include "taskq.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "admit.h"
#include "args.h"
#include "cancel.h"
#include "clock.h"
#include "current.h"
#include "error.h"
#include "events.h"
#include "handler.h"
#include "history.h"
#include "owner.h"
#include "ready.h"
#include "recall.h"
#include "retry.h"
#include "retry_function.h"
#include "route.h"
#include "settle.h"
#include "shmem.h"
#include "stats.h"
#include "waitpoint.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(taskq_fail_job);
PG_FUNCTION_INFO_V1(taskq_release_job);
PG_FUNCTION_INFO_V1(taskq_snooze_job);

/*
 * Failures because of how the database is are mostly those of a migration that is
 * under way; they pause the type (outcome.c, pause.c).  So that no backlog is
 * thrown away meanwhile, a job has so many attempts more for them.
 */
#define SETUP_ATTEMPTS 3

/* A job that has certainly crashed the server so often is not run again. */
#define MAX_CRASHES 2

/* More than are drawn between two flushes of the log. */
#define MAX_LOST_EPOCHS 100000

/* the state machine -------------------------------------------------------- */

/* To which states each state may go. */
static const struct
{
	char		from;
	const char *to;
}			transitions[] =
{
	{JOB_NEW, "asbd"},
	{JOB_AVAILABLE, "arxd"},
	{JOB_RETRYABLE, "arxd"},
	{JOB_BLOCKED, "axd"},
	{JOB_RUNNING, "ctdxqasb"},
	{JOB_SUSPENDED, "arxd"},
	{JOB_DISCARDED, "a"},
	{JOB_CANCELLED, "a"},
	{JOB_QUARANTINED, "a"},
	{JOB_COMPLETED, "a"},		/* with force, which retry_job() checks */
};

void
RefuseTransition(const TaskqJob *job, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_INVALID_TRANSITION),
			 errmsg("job " INT64_FORMAT " is %s and cannot be %s", job->job_id, JobStateName(job), what),
			 hint != NULL ? errhint("%s", hint) : 0));
}

static void
CheckTransition(const TaskqJob *job, char to)
{
	TaskqJob	wanted = *job;

	for (int i = 0; i < lengthof(transitions); i++)
		if (transitions[i].from == job->state && strchr(transitions[i].to, to) != NULL)
			return;
	wanted.state = to;
	RefuseTransition(job, JobStateName(&wanted), NULL);
}

/*
 * Give a job another state and write it: the one writer of states.  The caller
 * is the owner, has the row locked in jobs->found if there is one, and has set
 * everything else of the job as it is to be.
 */
void
JobTransition(Store *jobs, TaskqJob *job, char to, struct varlena *result)
{
	char		from = job->state;
	TimestampTz now = ClockNow();
	bool		bring_snapshot = !ActiveSnapshotSet();
	bool		waited;

	CheckTransition(job, to);
	waited = from != JOB_NEW && !JobEnded(from) && JobIsOpen(jobs->found);	/* also of a run in a worker */

	/* a large payload is read and stored anew when it moves to another table */
	if (bring_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	job->state = to;
	EventRecord(job, from, result, now);
	if (from == JOB_RUNNING)
		Leave(job);
	if (from == JOB_RUNNING && !JobEnded(to))
	{
		job->worker_id = NULL;
		job->started_at = 0;
		job->lease_expires_at = 0;
	}

	if (from == JOB_NEW && JobEnded(to))
		HistoryInsert(job, result, now);
	else if (from == JOB_NEW || JobEnded(from))
	{
		JobWrite(job, StoreNewRow(jobs));
		StoreInsert(jobs);
	}
	else if (JobEnded(to))
	{
		HistoryInsert(job, result, now);
		StoreDelete(jobs);
	}
	else
	{
		JobWrite(job, StoreNewRow(jobs));
		StoreUpdate(jobs);
		if (to == JOB_RUNNING)
			RecallNote(job->job_id, &jobs->row->tts_tid);
	}
	if (bring_snapshot)
		PopActiveSnapshot();
	if (waited)
		ReadyLeft(job->job_id);
	if (to == JOB_AVAILABLE || to == JOB_RETRYABLE)
	{
		ReadyHint	hint = {{job->run_at, job->job_id}, jobs->row->tts_tid};

		ReadyOpened(job->route_id, job->priority, &hint);
	}
	if (from != JOB_NEW && (to == JOB_AVAILABLE || to == JOB_RETRYABLE))
		WakeForJob(job->route_id, job->run_at, now);
}

/* the fence ---------------------------------------------------------------- */

static int64
Timeline(void)
{
	return (int64) GetWALInsertionTimeLine();
}

/* A new epoch.  The caller has the job's row locked. */
int64
EpochNext(void)
{
	return (Timeline() << TASKQ_ID_BITS) | StoreNextId(REL_EPOCH_SEQ);
}

/*
 * Called before an epoch leaves the server in a transaction that is still open:
 * a crash must not make the sequence give it out again.
 */
void
EpochKeep(void)
{
	(void) StoreLastId(REL_EPOCH_SEQ);
}

/*
 * Pass the epochs that a crash may have had the sequence forget: those of runs
 * in workers, for which nothing is flushed.  Called at the scheduler's start,
 * before it starts a worker; there are numbers for 2.8 thousand million starts.
 */
void
EpochPassLost(void)
{
	OwnerScope	scope;
	int64		ahead = (EpochNext() & TASKQ_ID_MASK) + MAX_LOST_EPOCHS;

	OwnerEnter(&scope);
	DirectFunctionCall2(setval_oid, ObjectIdGetDatum(CatalogRel(REL_EPOCH_SEQ)), Int64GetDatum(ahead));
	OwnerLeave(&scope);
}

/*
 * Was this epoch given out on this timeline?  What was promised before a
 * promotion may contradict what was promised after the last record that the
 * new primary has seen, and cannot be trusted.
 */
bool
EpochIsOurs(int64 epoch)
{
	return epoch >> TASKQ_ID_BITS == Timeline();
}

void
JobNotFound(int64 job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_JOB_NOT_FOUND),
			 errmsg("job " INT64_FORMAT " does not exist", job_id),
			 errdetail("There is neither a live nor a finished job of this id."),
			 errhint("Finished jobs are kept as long as their queue's retention says.")));
}

/* Why a claim is not in force, and what to do then. */
typedef struct Refusal
{
	const char *detail;
	const char *hint;
} Refusal;

TASKQ_NORETURN static void
StaleLease(int64 job_id, int64 epoch, const Refusal *refusal)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_STALE_LEASE),
			 errmsg("claim " INT64_FORMAT " of job " INT64_FORMAT " is not in force", epoch, job_id),
			 errdetail("%s", refusal->detail),
			 errhint("%s", refusal->hint)));
}

/* Somebody else has the job, or has had it: what was done for it counts for nothing. */
static void
ExplainLost(const TaskqJob *job, Refusal *refusal)
{
	refusal->hint = "Stop working on the job; roll back what was done for it in this transaction.";
	if (JobEnded(job->state))
		refusal->detail = psprintf("The job is %s, and not by this claim.", JobStateName(job));
	else if (ShmemRunsJob(job->job_id))
	{
		refusal->detail = "A background worker runs the job, and settles it itself.";
		refusal->hint = "To end the run, use taskq.cancel_job().";
	}
	else
		refusal->detail = "The job was claimed again, or this claim was rolled back.";
}

/*
 * A settle by an epoch that does not hold the job: harmless when it repeats
 * what this epoch did, else stale, and why.
 */
static ClaimHold
JudgeSettled(const TaskqJob *job, int64 epoch, char outcome, Refusal *refusal)
{
	if (job->epoch == epoch && job->last_outcome == outcome && outcome != OUTCOME_NONE && outcome != OUTCOME_EXPIRED)
		return CLAIM_SETTLED;
	ExplainLost(job, refusal);
	if (job->epoch == epoch && job->last_outcome == OUTCOME_EXPIRED)
		refusal->detail = "Its lease expired.";
	else if (job->epoch == epoch && job->last_outcome != OUTCOME_NONE)
	{
		refusal->detail = psprintf("This claim was settled before, and the job is %s.", JobStateName(job));
		refusal->hint = "A claim is settled once; after that nothing is left to do with it.";
	}
	else if (job->epoch == epoch && !ShmemRunsJob(job->job_id))
	{
		refusal->detail = "The job has not been claimed.";
		refusal->hint = "Settle with the job_id and epoch that the claim returned.";
	}
	return CLAIM_STALE;
}

/*
 * Lock the row of a claim, if it is in force.  Among finished jobs is looked
 * only where that is asked for.
 */
static ClaimHold
LockRow(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, bool wait, bool look_back,
		Refusal *refusal)
{
	TaskqEnding ending;

	CurrentRefuse(job_id, "settle");
	for (;;)
	{
		Snapshot	snapshot = StoreSnapshot();
		StoreLockResult locked;
		ItemPointerData tid;

		if (!RecallFind(jobs, job_id, snapshot) &&
			!StoreFindById(jobs, CatalogRel(REL_JOBS_PKEY), job_id, snapshot))
		{
			UnregisterSnapshot(snapshot);
			break;
		}
		JobRead(job, jobs->found);
		if (job->epoch != epoch || job->state != JOB_RUNNING)
		{
			UnregisterSnapshot(snapshot);
			return JudgeSettled(job, epoch, outcome, refusal);
		}
		if (!EpochIsOurs(epoch))
		{
			UnregisterSnapshot(snapshot);
			ExplainLost(job, refusal);
			refusal->detail = "The claim was made before this server became the primary.";
			return CLAIM_STALE;
		}

		/* only another settle or heartbeat of this claim can have the row */
		tid = jobs->found->tts_tid;
		WAITPOINT("settle-found");
		locked = StoreLock(jobs, &tid, snapshot, wait, true);
		UnregisterSnapshot(snapshot);
		if (locked == STORE_BUSY)
			return CLAIM_BUSY;
		if (locked == STORE_GONE)
			continue;
		JobRead(job, jobs->found);
		if (job->epoch != epoch || job->state != JOB_RUNNING)
			return JudgeSettled(job, epoch, outcome, refusal);
		return CLAIM_HELD;
	}
	if (!look_back || !HistoryFind(job_id, job, &ending))
		return CLAIM_NOT_FOUND;
	return JudgeSettled(job, epoch, outcome, refusal);
}

/*
 * Lock the row of a claimed job, if this epoch holds it, and wait for it where
 * another call for the same claim has it.  The caller is the owner and has opened
 * the table.
 */
ClaimHold
FindClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome)
{
	Refusal		refusal;

	return LockRow(jobs, job, job_id, epoch, outcome, true, true, &refusal);
}

/* Is the claim held?  That it is not in force is an error. */
static bool
IsHeld(ClaimHold hold, int64 job_id, int64 epoch, const Refusal *refusal)
{
	if (hold == CLAIM_STALE)
		StaleLease(job_id, epoch, refusal);
	if (hold == CLAIM_NOT_FOUND)
		JobNotFound(job_id);
	return hold == CLAIM_HELD;
}

/*
 * Lock the row of a claimed job: true when this epoch holds it, false when it
 * was settled by this epoch in the same way; anything else is an error.  The
 * caller is the owner and has opened the table.
 */
bool
LockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome)
{
	Refusal		refusal;
	ClaimHold	hold = LockRow(jobs, job, job_id, epoch, outcome, true, true, &refusal);

	return IsHeld(hold, job_id, epoch, &refusal);
}

/*
 * The same without waiting: false also when the row is locked by whoever is
 * settling it now; and without "complain" when the claim is stale.
 */
bool
TryLockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, bool complain)
{
	Refusal		refusal;
	ClaimHold	hold = LockRow(jobs, job, job_id, epoch, outcome, false, complain, &refusal);

	return complain ? IsHeld(hold, job_id, epoch, &refusal) : hold == CLAIM_HELD;
}

/* outcomes, for claims of every kind --------------------------------------- */

static void
CountRun(const TaskqJob *job, bool completed)
{
	StatsCountRun(RouteById(job->route_id)->task_type, completed, ClockNow() - job->started_at,
				  job->started_at - job->run_at);
}

void
SettleCompleted(Store *jobs, TaskqJob *job, struct varlena *result)
{
	CountRun(job, true);
	job->last_outcome = OUTCOME_COMPLETED;
	JobTransition(jobs, job, JOB_COMPLETED, result);
}

/* A job is to wait, again or still: was it to be cancelled?  Then it is. */
bool
SettleIfCancelled(Store *jobs, TaskqJob *job)
{
	char	   *reason = NULL;

	if (!CancelRequested(job->job_id, &reason))
		return false;
	if (reason != NULL)
		job->last_error = ErrorText(reason);
	JobTransition(jobs, job, JOB_CANCELLED, NULL);
	CancelForget(job->job_id);
	return true;
}

/* Has the job attempts left, after this failure? */
bool
SettleMayRetry(const TaskqJob *job, const AttemptFailure *failure)
{
	return job->attempt < job->max_attempts + (failure->of_setup ? SETUP_ATTEMPTS : 0);
}

/*
 * The attempt failed: record it, and retry the job by its policy or discard
 * it.  retry_in is NO_MICROSECONDS unless the failure wishes a delay.
 */
void
SettleFailed(Store *jobs, TaskqJob *job, char outcome, const AttemptFailure *failure,
			 bool retryable, int64 retry_in)
{
	TimestampTz now = ClockNow();
	int64		delay;

	CountRun(job, false);
	HistoryInsertFailure(job, failure, now);
	job->failure = failure;
	job->last_outcome = outcome;
	job->last_error = ErrorText(failure->message);
	if (SettleIfCancelled(jobs, job))
		return;
	delay = RetryDelay(HandlerRetryPolicy(RouteById(job->route_id)->task_type), job->attempt, RetryJitter());
	if (!retryable || delay < 0 || !SettleMayRetry(job, failure))
	{
		JobTransition(jobs, job, JOB_DISCARDED, NULL);
		return;
	}
	if (retry_in != NO_MICROSECONDS)
		delay = retry_in;
	job->run_at = now + delay;
	JobTransition(jobs, job, delay > 0 ? JOB_RETRYABLE : JOB_AVAILABLE, NULL);
}

/* The run crashed the server: that may happen once. */
void
SettleCrashed(Store *jobs, TaskqJob *job, const AttemptFailure *failure)
{
	CountRun(job, false);
	HistoryInsertFailure(job, failure, ClockNow());
	job->failure = failure;
	job->last_outcome = OUTCOME_CRASHED;
	job->last_error = ErrorText(failure->message);
	job->crashes++;
	if (SettleIfCancelled(jobs, job))
		return;
	if (job->crashes >= MAX_CRASHES || job->attempt >= job->max_attempts)
		JobTransition(jobs, job, JOB_QUARANTINED, NULL);
	else
		JobTransition(jobs, job, JOB_AVAILABLE, NULL);
}

/* The run did not end by its own doing: the attempt does not count. */
void
SettleGivenBack(Store *jobs, TaskqJob *job, char outcome, TimestampTz run_at)
{
	job->attempt--;
	job->last_outcome = outcome;
	job->run_at = run_at;
	if (!SettleIfCancelled(jobs, job))
		JobTransition(jobs, job, JOB_AVAILABLE, NULL);
}

/* SQL: by the holder of a claim -------------------------------------------- */

typedef struct SettleScope
{
	OwnerScope	owner;
	Store		jobs;
	TaskqJob	job;
} SettleScope;

/* Take the claim's row; false: nothing is to be done. */
static bool
BeginSettle(SettleScope *scope, int64 job_id, int64 epoch, char outcome)
{
	OwnerEnter(&scope->owner);
	StoreOpenRel(&scope->jobs, REL_JOBS);
	return LockClaim(&scope->jobs, &scope->job, job_id, epoch, outcome);
}

static void
EndSettle(SettleScope *scope)
{
	StoreClose(&scope->jobs, true);
	OwnerLeave(&scope->owner);
}

Datum
taskq_fail_job(PG_FUNCTION_ARGS)
{
	SettleScope scope;
	AttemptFailure failure = {0};
	bool		retryable;
	int64		retry_in;
	bool		held;

	CheckArgCount(fcinfo, 10);
	CheckWritable("taskq.fail_job()");
	failure.outcome = "failed";
	failure.message = ArgTextOrNull(fcinfo, 2);
	failure.error_type = ArgNameOrNull(fcinfo, 3, "error_type");
	if (failure.error_type == NULL)
		failure.error_type = !PG_ARGISNULL(5) && !PG_GETARG_BOOL(5) ? ERROR_PERMANENT : ERROR_HANDLER;
	failure.error_code = ArgTextOrNull(fcinfo, 4);
	retryable = PG_ARGISNULL(5) ? IsRetryableErrorType(failure.error_type) : PG_GETARG_BOOL(5);
	retry_in = ArgMicroseconds(fcinfo, 6, "retry_in", 0);
	failure.detail = ArgTextOrNull(fcinfo, 7);
	failure.hint = ArgTextOrNull(fcinfo, 8);
	failure.context = ArgTextOrNull(fcinfo, 9);

	held = BeginSettle(&scope, ArgId(fcinfo, 0, "job_id"), ArgId(fcinfo, 1, "epoch"), OUTCOME_FAILED);
	if (held)
	{
		OwnerLeave(&scope.owner);
		RetryFunctionAsk(&scope.job, &failure, &retryable, &retry_in);
		OwnerEnter(&scope.owner);
		SettleFailed(&scope.jobs, &scope.job, OUTCOME_FAILED, &failure, retryable, retry_in);
	}
	EndSettle(&scope);
	PG_RETURN_BOOL(held);
}

Datum
taskq_release_job(PG_FUNCTION_ARGS)
{
	SettleScope scope;
	bool		held;

	CheckArgCount(fcinfo, 2);
	CheckWritable("taskq.release_job()");
	held = BeginSettle(&scope, ArgId(fcinfo, 0, "job_id"), ArgId(fcinfo, 1, "epoch"), OUTCOME_RELEASED);
	if (held)
		SettleGivenBack(&scope.jobs, &scope.job, OUTCOME_RELEASED, scope.job.run_at);
	EndSettle(&scope);
	PG_RETURN_BOOL(held);
}

Datum
taskq_snooze_job(PG_FUNCTION_ARGS)
{
	SettleScope scope;
	int64		delay;
	bool		held;

	CheckArgCount(fcinfo, 3);
	CheckWritable("taskq.snooze_job()");
	delay = ArgMicroseconds(fcinfo, 2, "delay", 0);
	if (delay == NO_MICROSECONDS)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("delay must not be NULL"),
				 errhint("To give the job back at once, use taskq.release_job().")));
	held = BeginSettle(&scope, ArgId(fcinfo, 0, "job_id"), ArgId(fcinfo, 1, "epoch"), OUTCOME_SNOOZED);
	if (held)
		SettleGivenBack(&scope.jobs, &scope.job, OUTCOME_SNOOZED, ClockNow() + delay);
	EndSettle(&scope);
	PG_RETURN_BOOL(held);
}

/* The holder gives the job up for good. */
bool
SettleCancelled(int64 job_id, int64 epoch, const char *reason)
{
	SettleScope scope;
	bool		held = BeginSettle(&scope, job_id, epoch, OUTCOME_CANCELLED);

	if (held)
	{
		if (reason != NULL)
			scope.job.last_error = ErrorText(reason);
		scope.job.last_outcome = OUTCOME_CANCELLED;
		JobTransition(&scope.jobs, &scope.job, JOB_CANCELLED, NULL);
		CancelForget(job_id);
	}
	EndSettle(&scope);
	return held;
}
