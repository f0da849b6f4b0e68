/*
 * fence.c
 *	  The fence: a process that settles a job must name the claim that gave it the
 *	  job.
 *
 * An epoch is drawn from a counter while the job's row is locked, and contains the
 * timeline.  So no epoch is given out twice, not even if a claim was rolled back or
 * a primary has failed.
 */
#include "taskq.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "base/error.h"
#include "base/injection_point.h"
#include "config/adopt.h"
#include "job/access.h"
#include "job/current.h"
#include "job/fence.h"
#include "job/history.h"
#include "job/job_batch.h"
#include "job/recall.h"
#include "shared/shmem.h"
#include "store/counter.h"
#include "store/owner.h"

static int64
Timeline(void)
{
	return (int64) GetWALInsertionTimeLine();
}

/* Return a new epoch.  The caller has locked the job's row. */
int64
EpochNext(void)
{
	return (Timeline() << TASKQ_ID_BITS) | CounterNext(COUNTER_EPOCH);
}

/*
 * Was this epoch given out on this timeline?  An epoch from before a promotion is
 * not trusted. The old primary may have gone on after the last record that this
 * server has received, so the same claim may have ended in another way there.
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
			 errdetail("No live or finished job has this id."),
			 errhint("Finished jobs are kept as long as their queue's retention says.")));
}

/* The reason why a claim is not in force, and what to do about it. */
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

/* Explain that only the process that runs the job may settle it. */
static void
ExplainInside(Refusal *refusal)
{
	refusal->detail = "A background worker runs the job, and settles it itself.";
	refusal->hint = "To end the run, use taskq.cancel_job().";
}

/* Explain that another process has or had the job, so the work for this claim is void. */
static void
ExplainLost(const TaskqJob *job, Refusal *refusal)
{
	refusal->hint = "Stop working on the job; roll back what was done for it in this transaction.";
	if (JobEnded(job->state))
		refusal->detail = psprintf("The job is %s, and not by this claim.", JobStateName(job));
	else if (ShmemRunsJob(job->job_id))
		ExplainInside(refusal);
	else if (job->state == JOB_RUNNING)
		refusal->detail = "The job was claimed again, or this claim was rolled back.";
	else
	{
		/* an uncommitted claim looks like one that was never made */
		refusal->detail = job->epoch == 0 ? "The job has not been claimed, or its claim was rolled back or has not been committed yet." : "The job was claimed again, or this claim was rolled back or has not been committed yet.";
		refusal->hint = "Commit the claim before the job is settled elsewhere; else stop working on the job, and roll back what was done for it in this transaction.";
	}
}

/*
 * Is the role to which the last claim of a job belongs known?  In a job that came from
 * another cluster, its OID may be that of any role here.
 */
static bool
IsRoleKnown(const TaskqJob *job)
{
	return OidIsValid(job->claimed_by) && job->started_at >= AdoptedRolesFrom();
}

/* Does the last claim of a job belong to this role?  A claim whose role is not known belongs to any. */
bool
ClaimIsOf(const TaskqJob *job, Oid role)
{
	return job->claimed_by == role || !IsRoleKnown(job);
}

/*
 * May the caller act for the worker that has claimed the job, or has claimed it last?
 * Epochs are no secret: they count up, and observers see them.  So the caller must also be
 * a member of the role to which the claim belongs, or an operator.  If nobody knows that
 * role, the epoch of the claim must do.
 */
static bool
MayActFor(const TaskqJob *job, int64 epoch, Oid caller)
{
	if (caller == CALLER_IS_TASKQ || caller == CALLER_WAS_CHECKED)
		return true;
	if (!IsRoleKnown(job))
		return (epoch != 0 && job->epoch == epoch) || AccessHas(caller, ACCESS_OPERATOR);
	return caller == job->claimed_by || has_privs_of_role(caller, job->claimed_by) || AccessHas(caller, ACCESS_OPERATOR);
}

/*
 * May the caller end a claim that was made on another timeline?  Its worker can settle
 * nothing any more, so it is safe to give the job back or to cancel it.
 */
static bool
MayEndOld(char outcome, Oid caller)
{
	if (outcome != OUTCOME_RELEASED && outcome != OUTCOME_CANCELLED)
		return false;
	return caller == CALLER_IS_TASKQ || caller == CALLER_WAS_CHECKED || AccessHas(caller, ACCESS_OPERATOR);
}

/*
 * Judge a settle with an epoch that does not hold the job.  It is harmless if it
 * repeats what this claim did before.  Otherwise the claim is stale, and the
 * refusal says why.  A caller that may not act for the last claim is told nothing about
 * the job.
 */
static ClaimHold
JudgeSettled(const TaskqJob *job, int64 epoch, char outcome, Oid caller, Refusal *refusal)
{
	if (!MayActFor(job, epoch, caller))
	{
		refusal->detail = "The job has another claim or none, or this claim was rolled back or has not been committed yet.";
		refusal->hint = "Commit the claim before the job is settled elsewhere; else stop working on the job, and roll back what was done for it in this transaction.";
		return job->epoch == epoch && epoch != 0 ? CLAIM_FOREIGN : CLAIM_STALE;
	}
	if (job->epoch == epoch && job->last_outcome == outcome && outcome != OUTCOME_NONE && outcome != OUTCOME_EXPIRED)
		return CLAIM_SETTLED;
	ExplainLost(job, refusal);
	if (job->epoch == epoch && job->last_outcome == OUTCOME_EXPIRED)
	{
		refusal->detail = "Its lease expired.";
		refusal->hint = "Send heartbeats while the job runs, or claim with a longer lease.";
	}
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
 * Secure the row that was found and compared.  Only another settle or heartbeat of this
 * claim can have locked it.
 */
static StoreLockResult
Secure(Store *jobs, Snapshot snapshot, ClaimGrip grip)
{
	ItemPointerData tid = jobs->found->tts_tid;

	TASKQ_INJECTION_POINT("settle-found");
	if (grip == GRIP_DELETE)
		return StoreTryDelete(jobs);
	return StoreLock(jobs, &tid, snapshot, grip == GRIP_LOCK, true);
}

/*
 * Lock or delete the row of a claim, if the claim is in force and the caller may act for
 * its worker.  Finished jobs are searched only with "look_back".
 */
static ClaimHold
HoldRow(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, Oid caller, ClaimGrip grip, bool look_back,
		Refusal *refusal)
{
	TaskqEnding ending;

	AssertOwner();
	Assert(StoreIs(jobs, REL_JOBS));
	CurrentRefuse(job_id, "settle");
	for (;;)
	{
		Snapshot		snapshot = StoreSnapshot();
		StoreLockResult secured;

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
			return JudgeSettled(job, epoch, outcome, caller, refusal);
		}
		if (!MayActFor(job, epoch, caller))
		{
			UnregisterSnapshot(snapshot);
			return CLAIM_FOREIGN;
		}
		if (!EpochIsOurs(epoch) && !MayEndOld(outcome, caller))
		{
			UnregisterSnapshot(snapshot);
			ExplainLost(job, refusal);
			refusal->detail = "The claim was made before this server became the primary.";
			refusal->hint = "Stop working on the job. To give back all jobs of the worker, unregister it and register it again.";
			return CLAIM_STALE;
		}
		if (caller != CALLER_IS_TASKQ && job->lease_expires_at == 0)
		{
			UnregisterSnapshot(snapshot);
			ExplainInside(refusal);
			return CLAIM_STALE;
		}

		if (grip == GRIP_LOOK)
		{
			UnregisterSnapshot(snapshot);
			return CLAIM_HELD;
		}
		secured = Secure(jobs, snapshot, grip);
		UnregisterSnapshot(snapshot);
		if (secured == STORE_BUSY)
			return CLAIM_BUSY;
		if (secured == STORE_GONE)
			continue;
		if (grip == GRIP_DELETE)
			return CLAIM_HELD;
		JobRead(job, jobs->found);
		if (job->epoch != epoch || job->state != JOB_RUNNING)
			return JudgeSettled(job, epoch, outcome, caller, refusal);
		return CLAIM_HELD;
	}
	if (!look_back)
		return CLAIM_NOT_FOUND;
	JobBatchWrite(jobs); /* a batch may name the job twice */
	if (!HistoryFind(job_id, job, &ending))
		return CLAIM_NOT_FOUND;
	return JudgeSettled(job, epoch, outcome, caller, refusal);
}

/*
 * Lock or delete the row of a claimed job, if this epoch holds it.  The current user is the
 * owner, and the caller has opened the table.
 */
ClaimHold
FindClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, Oid caller, ClaimGrip grip)
{
	Refusal refusal;

	return HoldRow(jobs, job, job_id, epoch, outcome, caller, grip, true, &refusal);
}

TASKQ_NORETURN static void
ForeignClaim(const TaskqJob *job)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for claim " INT64_FORMAT " of job " INT64_FORMAT, job->epoch, job->job_id),
			 errdetail("It belongs to another role."),
			 errhint("A member of that role may settle it and send its heartbeats, if need be after SET ROLE, or a role with the accesses \"operator\" and \"worker\".")));
}

/* Is the claim held?  Raises an error if it is not in force, or of another role. */
static bool
IsHeld(ClaimHold hold, const TaskqJob *job, int64 job_id, int64 epoch, const Refusal *refusal)
{
	if (hold == CLAIM_FOREIGN)
		ForeignClaim(job);
	if (hold == CLAIM_STALE)
		StaleLease(job_id, epoch, refusal);
	if (hold == CLAIM_NOT_FOUND)
		JobNotFound(job_id);
	return hold == CLAIM_HELD;
}

/*
 * Lock or delete the row of a claimed job.  Returns true if this epoch holds the job, and
 * false if this epoch has already settled it in the same way; anything else is an
 * error.  The current user is the owner, and the caller has opened the table.
 */
bool
LockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, Oid caller, ClaimGrip grip)
{
	Refusal	  refusal;
	ClaimHold hold = HoldRow(jobs, job, job_id, epoch, outcome, caller, grip, true, &refusal);

	return IsHeld(hold, job, job_id, epoch, &refusal);
}

/*
 * Like LockClaim(), but without waiting.  Returns CLAIM_BUSY if the row is locked by a
 * process that is settling it.  Without "complain", no error is raised for a claim that
 * is not in force.
 */
ClaimHold
TryLockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, Oid caller, bool complain)
{
	Refusal	  refusal;
	ClaimHold hold = HoldRow(jobs, job, job_id, epoch, outcome, caller, GRIP_TRY_LOCK, complain, &refusal);

	if (complain)
		(void) IsHeld(hold, job, job_id, epoch, &refusal);
	return hold;
}
