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
 *
 * To see the rows, a claim reads all jobs that the instance has.  It does not read them if
 * the session knows a permit that must be free (known_permits.c).
 */
#include "taskq.h"

#include "common/hashfn.h"
#include "nodes/bitmapset.h"

#include "job/admit_rules.h"
#include "job/admit_xact.h"
#include "job/fence.h"
#include "job/known_permits.h"
#include "job/running_scan.h"
#include "shared/locks.h"
#include "shared/permits.h"
#include "shared/wake.h"

#define MAX_PERMITS 200 /* what one claim may take; each is a lock */
#define MAX_SPARE 32	/* what a scan finds for later claims */

/* The permits that a claim has reserved.  The first claim->n_admitted of them are in use. */
typedef struct Permits
{
	int			n;
	KnownPermit permits[MAX_PERMITS];
} Permits;

/* What the running rows of an instance hold. */
typedef struct Held
{
	Bitmapset *permits;	  /* up to the limit */
	int		   n_outside; /* rows that hold none of these */
	int		   n_others;  /* rows that another role has claimed */
} Held;

static uint64
PermitKey(const WorkerName *worker, Oid owner, int permit)
{
	return hash_combine64(worker->key, hash_uint32_extended(permit, owner));
}

/*
 * Read what an instance's running rows hold of the permits up to "max".  Jobs that another
 * role has claimed under the same id, by an earlier registration, do not count.
 */
static void
ReadHeld(Held *held, const WorkerName *worker, Oid owner, int max)
{
	RunningScan scan;
	TaskqJob	job;

	memset(held, 0, sizeof(*held));
	RunningScanBegin(&scan, worker, PG_INT64_MIN);
	while (RunningScanNext(&scan, &job))
	{
		if (!ClaimIsOf(&job, owner))
			held->n_others++;
		else if (job.permit >= 1 && job.permit <= max)
			held->permits = bms_add_member(held->permits, job.permit);
		else
			held->n_outside++;
	}
	RunningScanEnd(&scan);
}

/*
 * Return the highest permit that a claim may use.  Runs that began before the limit
 * was lowered hold none of these permits, but count against the limit.  So the
 * highest free permits are not used.
 */
static int
LastPermit(const Held *held, int max)
{
	int last = max;

	for (int n = held->n_outside; last > 0 && n > 0; last--)
		if (!bms_is_member(last, held->permits))
			n--;
	return last;
}

/*
 * Do these rows tell what is free after this transaction, too?  Not if it has ended runs: it
 * may be rolled back.
 */
static bool
CanRemember(const Held *held)
{
	return held->n_outside == 0 && held->n_others == 0 && !AdmissionsMayHaveEnded();
}

static bool
LockPermit(const WorkerName *worker, Oid owner, int permit)
{
	return LockKey(LOCK_PERMIT, PermitKey(worker, owner, permit), true, false);
}

static void
UnlockPermit(const WorkerName *worker, Oid owner, int permit)
{
	UnlockKey(LOCK_PERMIT, PermitKey(worker, owner, permit), true);
}

/* Take up to "most" permits that this session has seen free and that nobody has used since. */
static void
TakeKnown(const WorkerName *worker, const PermitScope *scope, int most, Permits *taken)
{
	KnownPermit permit;

	while (taken->n < most && KnownPermitsNext(scope, &permit))
	{
		if (!LockPermit(worker, scope->owner, permit.number))
			continue;
		if (PermitUses(worker->key, permit.number) == permit.uses)
			taken->permits[taken->n++] = permit;
		else
			UnlockPermit(worker, scope->owner, permit.number);
	}
}

/* Add the permits that a claim has taken to those that rows hold. */
static void
AddTaken(Held *held, const Permits *taken)
{
	for (int i = 0; i < taken->n; i++)
		held->permits = bms_add_member(held->permits, taken->permits[i].number);
}

/*
 * Lock permits that no row holds, until there are "most".  Then find some that are free, for
 * later claims.  The uses of these are read before it is known that nobody has locked them:
 * who locks one afterwards and uses it changes the number.
 */
static void
LockFree(const WorkerName *worker, const PermitScope *scope, int most, const Held *held, Permits *locked, Permits *spare)
{
	int last = LastPermit(held, scope->max_concurrent_jobs);

	for (int number = 1; number <= last && spare->n < MAX_SPARE; number++)
	{
		KnownPermit permit = { number, PermitUses(worker->key, number) };

		if (bms_is_member(number, held->permits))
			continue;
		if (locked->n == most)
		{
			if (!PermitsCounted())
				break;
			if (!LockKeyIsTaken(LOCK_PERMIT, PermitKey(worker, scope->owner, number)))
				spare->permits[spare->n++] = permit;
		}
		else if (LockPermit(worker, scope->owner, number))
			locked->permits[locked->n++] = permit;
	}
}

/*
 * Take more permits, up to "most", by a look at the running rows.  The first look finds
 * permits that may be free.  The second look, after they are locked, finds those whose
 * holders have committed in between.
 */
static void
TakeByScan(const WorkerName *worker, const PermitScope *scope, int most, Permits *taken)
{
	Permits *locked = palloc(sizeof(Permits));
	Permits *spare = palloc(sizeof(Permits));
	Held	 held;
	int		 last;

	ReadHeld(&held, worker, scope->owner, scope->max_concurrent_jobs);
	if (CanRemember(&held))
		KnownPermitsBegin(scope);
	else
		KnownPermitsForget();
	AddTaken(&held, taken);
	locked->n = spare->n = 0;
	LockFree(worker, scope, most - taken->n, &held, locked, spare);
	if (locked->n == 0)
		return;
	ReadHeld(&held, worker, scope->owner, scope->max_concurrent_jobs);
	if (!CanRemember(&held))
		KnownPermitsForget();
	AddTaken(&held, taken);
	last = LastPermit(&held, scope->max_concurrent_jobs);
	for (int i = 0; i < locked->n; i++)
	{
		int number = locked->permits[i].number;

		if (!bms_is_member(number, held.permits) && number <= last)
			taken->permits[taken->n++] = locked->permits[i];
		else
			UnlockPermit(worker, scope->owner, number);
	}
	for (int i = spare->n - 1; i >= 0; i--)
		if (!bms_is_member(spare->permits[i].number, held.permits))
			KnownPermitsAdd(worker->key, spare->permits[i]);
}

/* Reserve as many permits as the claim may use. */
static int
Begin(Admitting *claim, void **reserved, int most)
{
	PermitScope scope;
	Permits	   *permits;

	if (claim->claimant->max_concurrent_jobs == 0)
		return most;
	scope = (PermitScope){ claim->worker->key, claim->claimant->owner, claim->claimant->max_concurrent_jobs };
	most = Min(most, MAX_PERMITS);
	permits = palloc(sizeof(Permits));
	permits->n = 0;
	TakeKnown(claim->worker, &scope, most, permits);
	if (permits->n < most)
		TakeByScan(claim->worker, &scope, most, permits);
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
	Admission	  *admission;

	job->permit = 0;
	if (permits == NULL)
		return ADMIT_YES;
	if (claim->n_admitted == permits->n)
		return ADMIT_NOT_NOW;
	job->permit = permits->permits[claim->n_admitted].number;
	admission = AdmissionLast(job->job_id);
	admission->permit = (KnownPermit){ job->permit, PermitUse(claim->worker->key, job->permit) };
	return ADMIT_YES;
}

/* Wake those who wait for a permit, because one is free.  A prepared transaction keeps its permits until it ends. */
static void
LeaveJob(const Admission *admission, LeaveHow how)
{
	if (admission->worker_key == 0 || how == LEAVE_PREPARED)
		return;
	if (admission->permit.number > 0)
		KnownPermitsAdd(admission->worker_key, admission->permit);
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
	{
		int number = permits->permits[i].number;

		KnownPermitsAdd(claim->worker->key, (KnownPermit){ number, PermitUses(claim->worker->key, number) });
		UnlockPermit(claim->worker, claim->claimant->owner, number);
	}
	if (claim->n_admitted < permits->n)
		WakeForLimit(claim->worker->key);
	pfree(permits);
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	int	 max_concurrent_jobs;
	Held held;

	if (question->worker == NULL || question->claimant->max_concurrent_jobs == 0)
		return false;
	max_concurrent_jobs = question->claimant->max_concurrent_jobs;
	ReadHeld(&held, question->worker, question->claimant->owner, max_concurrent_jobs);
	if (bms_num_members(held.permits) + held.n_outside < max_concurrent_jobs)
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
