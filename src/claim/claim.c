/*
 * claim.c
 *	  Claiming jobs: choose (choose.c), lock and stamp (take.c).  Nothing else may
 *	  start a job.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "claim/choose.h"
#include "claim/claim.h"
#include "claim/external_worker.h"
#include "claim/lease.h"
#include "claim/take.h"
#include "config/handler.h"
#include "config/route.h"
#include "job/admit.h"
#include "job/fence.h"
#include "job/job_batch.h"
#include "job/transition.h"
#include "ready/ready.h"
#include "shared/locks.h"
#include "shared/wake.h"
#include "store/owner.h"

/* Check that a claim holds the row of the job that it starts, and has drawn an epoch. */
static void
AssertTaken(Store *jobs, const TaskqJob *job)
{
	AssertOwner();
	Assert(StoreIsLocked(jobs) && JobIdOfRow(jobs->found) == job->job_id);
	Assert(EpochIsOurs(job->epoch) && job->started_at != 0);
}

/*
 * Claim up to "most" jobs for an external worker, and call the function for each.  The
 * claims belong to the role that registered the worker, whoever of its members claims.  So
 * each of them may settle the jobs.  Without a registration, they belong to the caller.
 */
int
ClaimStamped(ClaimRequest *request, int most, ClaimFunction function, void *arg)
{
	OwnerScope scope;
	Store	   jobs;
	ClaimScan  scan;
	TaskqJob   job;
	Admitting  admitting;
	JobBatch   batch = { 0 };
	int		   claimed = 0;

	request->limit_key = 0;
	if (request->routes->n == 0)
		return 0;
	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	jobs.batch = most > 1 ? &batch : NULL;
	ChooseBegin(&scan, &jobs, request->routes, most, ReadyOpenedAny() ? NULL : request->place, true);
	scan.wanted = most = TakeBegin(&admitting, request, most);
	while (claimed < most && TakeNext(&scan, request, &admitting, &job))
	{
		AssertTaken(&jobs, &job);
		TakeStamp(&job, request);
		job.claimed_by = OidIsValid(request->worker->owner) ? request->worker->owner : scope.caller;
		job.lease_expires_at = job.started_at + LeaseLength(&job, request->lease, request->worker_lease);
		JobChange(&jobs, &job, JOB_RUNNING);
		CommandCounterIncrement();
		function(&job, arg);
		claimed++;
	}
	JobBatchWrite(&jobs);
	AdmitEnd(&admitting);
	ChooseEnd(&scan);
	StoreClose(&jobs, claimed > 0);
	OwnerLeave(&scope);
	return claimed;
}

/*
 * Do all that a claim of one job does, except for the stamp.  Returns true if there
 * is a job.
 */
static bool
LockForLook(ClaimRequest *request)
{
	OwnerScope scope;
	Store	   jobs;
	ClaimScan  scan;
	TaskqJob   job;
	Admitting  admitting;
	bool	   found;

	if (!WorkerHold(request->external))
		return false;
	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	ChooseBegin(&scan, &jobs, request->routes, 1, NULL, true);
	found = TakeBegin(&admitting, request, 1) > 0 && TakeNext(&scan, request, &admitting, &job);
	AdmitEnd(&admitting);

	/* wake those that pass over the job now, when its lock is released */
	if (found)
		WakeClaimed(job.route_id);
	ChooseEnd(&scan);
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	return found;
}

/*
 * Could the worker claim a job now?  It is not enough that a job is due: another
 * worker may have it locked, or this worker may be at a limit.  So this locks a
 * job in a subtransaction, and rolls that back.
 */
bool
ClaimCould(ClaimRequest *request)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool found = false;

	request->limit_key = 0;
	if (request->routes->n == 0)
		return false;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		found = LockForLook(request);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return found;
}

/*
 * Claim one job to run and settle in this transaction.  If this returns true, the
 * table stays open and jobs->found is the locked row.  If "place" is not NULL,
 * continue after the last claim of this transaction with the same routes.
 */
bool
ClaimToRun(const ClaimRequest *request, ClaimPlace *place, Store *jobs, TaskqJob *job)
{
	OwnerScope scope;
	Admitting  admitting;
	ClaimScan  scan;
	bool	   found;

	if (request->routes->n == 0)
		return false;
	OwnerEnter(&scope);
	StoreOpenRel(jobs, REL_JOBS);
	if (place != NULL && place->parent == NULL)
		place->parent = TopTransactionContext;
	ChooseBegin(&scan, jobs, request->routes, 1, place, place == NULL);
	found = AdmitBegin(&admitting, request->worker, NULL, 0, 1) > 0 && TakeNext(&scan, request, &admitting, job);
	AdmitEnd(&admitting);
	if (found)
	{
		AssertTaken(jobs, job);
		TakeStamp(job, request);
		job->claimed_by = scope.caller;
		job->state = JOB_RUNNING;
	}
	ChooseEnd(&scan);
	if (!found)
		StoreClose(jobs, false);
	OwnerLeave(&scope);
	return found;
}

/*
 * Claim the job with this id to run and settle in this transaction, even if it is
 * not due.  Returns false if it is not waiting, or if the worker may not run it.
 */
bool
ClaimByIdToRun(const ClaimRequest *request, int64 job_id, Store *jobs, TaskqJob *job)
{
	OwnerScope scope;
	Admitting  admitting;
	bool	   found;

	OwnerEnter(&scope);
	StoreOpenRel(jobs, REL_JOBS);
	found = AdmitBegin(&admitting, request->worker, NULL, job_id, 1) > 0 && TakeById(jobs, request, job_id, &admitting, job);
	AdmitEnd(&admitting);
	if (found)
	{
		AssertTaken(jobs, job);
		TakeStamp(job, request);
		job->claimed_by = scope.caller;
		job->state = JOB_RUNNING;
	}
	else
		StoreClose(jobs, false);
	OwnerLeave(&scope);
	return found;
}
