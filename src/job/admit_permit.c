/*
 * admit_permit.c
 *	  Rule: an instance of a worker has at most max_concurrent_jobs jobs.
 *
 * The limit is kept by numbered permits.  A claim that is not committed holds its
 * permit by a lock, and a committed claim by the number in the running row.  A
 * permit is free if it has neither.  So claims that other sessions cannot see yet
 * are counted, claims do not wait for each other, and a rollback, even to a
 * savepoint, needs no cleanup.  The end of an admission only wakes the sessions
 * that wait for a permit.
 */
#include "taskq.h"

#include "common/hashfn.h"
#include "nodes/bitmapset.h"

#include "job/admit_rules.h"
#include "job/fence.h"
#include "job/running_scan.h"
#include "shared/locks.h"
#include "shared/wake.h"

#define MAX_PERMITS 200 /* what one claim may take; each is a lock */

/* The permits that a claim has reserved.  The first claim->n_admitted of them are in use. */
typedef struct Permits
{
	int n;
	int numbers[MAX_PERMITS];
} Permits;

static uint64
PermitKey(const WorkerName *worker, Oid owner, int permit)
{
	return hash_combine64(worker->key, hash_uint32_extended(permit, owner));
}

/*
 * Return the permits that an instance's running rows hold, and count the rows that
 * hold none of the permits up to "max".  Jobs that another role has claimed under the
 * same id, by an earlier registration, do not count.
 */
static Bitmapset *
PermitsInRows(const WorkerName *worker, Oid owner, int max, int *n_outside)
{
	RunningScan scan;
	Bitmapset  *permits = NULL;
	TaskqJob	job;

	*n_outside = 0;
	RunningScanBegin(&scan, worker, PG_INT64_MIN);
	while (RunningScanNext(&scan, &job))
	{
		if (!ClaimIsOf(&job, owner))
			continue;
		if (job.permit >= 1 && job.permit <= max)
			permits = bms_add_member(permits, job.permit);
		else
			(*n_outside)++;
	}
	RunningScanEnd(&scan);
	return permits;
}

/*
 * Return the highest permit that a claim may use.  Runs that began before the limit
 * was lowered hold none of these permits, but count against the limit.  So the
 * highest free permits are not used.
 */
static int
LastPermit(const Bitmapset *held, int max, int n_outside)
{
	int last = max;

	for (; last > 0 && n_outside > 0; last--)
		if (!bms_is_member(last, held))
			n_outside--;
	return last;
}

/*
 * Take up to "most" of a worker's permits until the end of the transaction; returns
 * their number.  The first look finds permits that may be free.  The second look,
 * after they are locked, finds those whose holders have committed in between.
 */
static int
PermitsTake(const WorkerName *worker, Oid owner, int max_concurrent_jobs, int most, int *permits)
{
	int		   n_outside;
	Bitmapset *held = PermitsInRows(worker, owner, max_concurrent_jobs, &n_outside);
	int		   last = LastPermit(held, max_concurrent_jobs, n_outside);
	int		   locked = 0;
	int		   taken = 0;

	for (int permit = 1; permit <= last && locked < most; permit++)
		if (!bms_is_member(permit, held) && LockKey(LOCK_PERMIT, PermitKey(worker, owner, permit), true, false))
			permits[locked++] = permit;
	if (locked == 0)
		return 0;
	held = PermitsInRows(worker, owner, max_concurrent_jobs, &n_outside);
	last = LastPermit(held, max_concurrent_jobs, n_outside);
	for (int i = 0; i < locked; i++)
	{
		if (!bms_is_member(permits[i], held) && permits[i] <= last)
			permits[taken++] = permits[i];
		else
			UnlockKey(LOCK_PERMIT, PermitKey(worker, owner, permits[i]), true);
	}
	return taken;
}

/* Reserve as many permits as the claim may use. */
static int
Begin(Admitting *claim, void **reserved, int most)
{
	int		 max_concurrent_jobs = claim->claimant->max_concurrent_jobs;
	Permits *permits;

	if (max_concurrent_jobs == 0)
		return most;
	permits = palloc(sizeof(Permits));
	permits->n = PermitsTake(claim->worker, claim->claimant->owner, max_concurrent_jobs, Min(most, MAX_PERMITS), permits->numbers);
	if (permits->n > 0)
		*reserved = permits;
	else
		claim->limit_key = claim->worker->key;
	return permits->n;
}

static Verdict
AdmitJob(Admitting *claim, void *reserved, TaskqJob *job)
{
	const Permits *permits = reserved;

	job->permit = 0;
	if (permits == NULL)
		return ADMIT_YES;
	if (claim->n_admitted == permits->n)
		return ADMIT_NOT_NOW;
	job->permit = permits->numbers[claim->n_admitted];
	return ADMIT_YES;
}

/* Wake those who wait for a permit, because one is free.  A prepared transaction keeps its permits until it ends. */
static void
LeaveJob(const Admission *admission, LeaveHow how)
{
	if (admission->worker_key != 0 && how != LEAVE_PREPARED)
		WakeForLimit(admission->worker_key);
}

/*
 * Release the permits that were not used.  Wake others, because they may have found
 * none in the meantime.
 */
static void
End(Admitting *claim, void *reserved)
{
	Permits *permits = reserved;

	for (int i = claim->n_admitted; i < permits->n; i++)
		UnlockKey(LOCK_PERMIT, PermitKey(claim->worker, claim->claimant->owner, permits->numbers[i]), true);
	if (claim->n_admitted < permits->n)
		WakeForLimit(claim->worker->key);
	pfree(permits);
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	int		   max_concurrent_jobs;
	int		   n_outside;
	Bitmapset *held;

	if (question->worker == NULL || question->claimant->max_concurrent_jobs == 0)
		return false;
	max_concurrent_jobs = question->claimant->max_concurrent_jobs;
	held = PermitsInRows(question->worker, question->claimant->owner, max_concurrent_jobs, &n_outside);
	if (bms_num_members(held) + n_outside < max_concurrent_jobs)
		return false;
	refusal->reason_code = REASON_MAX_CONCURRENT_JOBS;
	return true;
}

const AdmissionRule admit_permit = {
	.name = "permit",
	.begin = Begin,
	.admit = AdmitJob,
	.leave = LeaveJob,
	.end = End,
	.explain = Explain,
};
