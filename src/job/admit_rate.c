/*
 * admit_rate.c
 *	  Rule: no more jobs start than the rates and quotas of the limits of their route allow.
 *
 * A claim pays before it locks the job's row, like it holds concurrency (admit_limit.c).  If it
 * is undone before a handler is called, it gets back what it has paid.  When a handler was
 * called, the start stays paid, whatever becomes of the transaction: the handler may have had
 * effects outside.
 *
 * A worker runs the jobs of a shared commit that failed once more.  Each is the same attempt,
 * so it is not paid for twice: the worker keeps what was paid until it starts the job again.
 */
#include "taskq.h"

#include "storage/ipc.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/grow.h"
#include "base/guc.h"
#include "base/injection_point.h"
#include "config/changes.h"
#include "config/limit.h"
#include "job/admit_rules.h"
#include "job/admit_xact.h"
#include "shared/rates.h"
#include "shared/shmem.h"
#include "store/catalog.h"

/* Write the rates and quotas of a route as shared memory wants them.  Returns false if there are none. */
static bool
RatesToPay(int32 route_id, RateLimits *pay)
{
	const RouteLimits *limits = LimitsOfRoute(route_id);

	pay->n = 0;
	/* limits for single values have no rates */
	for (int i = 0; i < limits->n_plain; i++)
		if (LimitRates(limits->limits[i]))
			LimitRate(limits->limits[i], &pay->limits[pay->n++]);
	if (pay->n == 0)
		return false;
	pay->relid = CatalogRel(REL_LIMITS);
	pay->route_id = route_id;
	return true;
}

static bool
AdmitJobsOf(int32 route_id, TupleTableSlot *row)
{
	RateLimits	 pay;
	RatesRefusal refusal;

	if (!RatesToPay(route_id, &pay))
		return true;
	return RatesPresent() && RatesRoom(&pay, row == NULL ? 1 : JobWeightOfRow(row), &refusal, true) == RATES_ROOM;
}

static int
MayRunOf(int32 route_id)
{
	return AdmitJobsOf(route_id, NULL) ? PG_INT32_MAX : 0;
}

/*
 * When may the next job start?  If a process waits until then, or a portion must be reserved
 * first, the scheduler need not look.
 */
static TimestampTz
NextOf(int32 route_id)
{
	RateLimits	 pay;
	RatesRefusal refusal;

	if (!RatesToPay(route_id, &pay) || !RatesPresent() || RatesRoom(&pay, 1, &refusal, false) != RATES_RATE ||
		refusal.until == RATES_NEVER || RatesWatched(pay.relid, &refusal))
		return DT_NOEND;
	return ClockNow() + Max(refusal.until - ClockSteady(), 0) + 1000;
}

/* starts that stay paid ------------------------------------------------------- */

typedef struct Kept
{
	int64	 job_id;
	RatePaid paid;
} Kept;

static Kept *kept = NULL; /* of runs that were rolled back in this worker */
static int	 n_kept = 0;
static int	 max_kept = 0;

/* The jobs do not start again here.  What was paid for them is spent. */
static void
SpendKept(void)
{
	for (int i = 0; i < n_kept; i++)
		RatesStarted(&kept[i].paid);
	n_kept = 0;
}

static void
AtExit(int code, Datum arg)
{
	SpendKept();
}

/* Make room for the runs of a shared commit.  Only workers run them again. */
static void
ReserveKept(void)
{
	if (max_kept >= taskq_share_commit_jobs || !ShmemMySlot()->worker)
		return;
	if (kept == NULL)
		before_shmem_exit(AtExit, (Datum) 0);
	kept = GrowArray(kept, sizeof(Kept), &max_kept, taskq_share_commit_jobs);
}

/* A run was rolled back after its handler was called.  Called after an abort, so it cannot fail. */
static void
Keep(const Admission *admission)
{
	if (proc_exit_inprogress || n_kept == max_kept)
		return;
	kept[n_kept].job_id = admission->job_id;
	kept[n_kept].paid = *admission->paid;
	RatesUnstart(&kept[n_kept++].paid);
}

/* A transaction of this worker has ended.  If the worker need not run its jobs again, what was kept is spent. */
void
AdmitRepeats(bool repeats)
{
	if (n_kept > 0 && !repeats)
		SpendKept();
}

/*
 * Is something paid for all that the job must pay now?  What was paid from a bucket, by a limit
 * that had no portions yet, was not stored before.
 */
static bool
PaysAll(const RatePaid *paid, const RateLimits *pay)
{
	for (int i = 0; i < pay->n; i++)
	{
		bool is_paid = false;

		for (int j = 0; j < paid->n; j++)
			is_paid |= paid->limits[j].limit_id == pay->limits[i].limit_id &&
					   paid->limits[j].value.hash == pay->limits[i].value.hash &&
					   paid->limits[j].from_portion == RateLimitReserves(&pay->limits[i]);
		if (!is_paid)
			return false;
	}
	return true;
}

/* Use what was kept for a job, if there is something. */
static bool
TakeKept(int64 job_id, const RateLimits *pay, RatePaid *paid)
{
	for (int i = 0; i < n_kept; i++)
	{
		if (kept[i].job_id != job_id)
			continue;
		*paid = kept[i].paid;
		kept[i] = kept[--n_kept];
		if (PaysAll(paid, pay))
			return true;
		RatesStarted(paid);
		return false;
	}
	return false;
}

/* claims ------------------------------------------------------------------------ */

static bool
PayForJob(Admitting *claim, int32 route_id, int64 job_id, TupleTableSlot *row)
{
	RateLimits pay;
	RatePaid  *paid;

	if (!RatesToPay(route_id, &pay))
		return true;
	if (!RatesPresent())
		return false;
	ReserveKept();
	TASKQ_INJECTION_POINT("rate-pay");
	paid = MemoryContextAlloc(TopTransactionContext, sizeof(RatePaid));
	if (!TakeKept(job_id, &pay, paid) && !RatesTake(&pay, JobWeightOfRow(row), paid))
	{
		pfree(paid);
		return false;
	}
	AdmissionLast(job_id)->paid = paid;
	return true;
}

static void
StartJob(const Admission *admission)
{
	if (admission->paid != NULL)
		RatesStarted(admission->paid);
}

static bool
StillPays(const Admitting *claim, const TaskqJob *job)
{
	RateLimits		 pay;
	const Admission *admission = AdmissionLast(job->job_id);

	if (LimitsVersion() == claim->limits_version || !RatesToPay(job->route_id, &pay))
		return true;
	return admission->paid != NULL && PaysAll(admission->paid, &pay);
}

static void
LeaveJob(const Admission *admission, LeaveHow how)
{
	if (admission->paid == NULL || how != LEAVE_UNDONE)
		return;
	if (admission->paid->called)
		Keep(admission);
	else
		RatesReturn(admission->paid);
}

/* explaining ---------------------------------------------------------------------- */

/* Return the moment as users see it. */
static const char *
MomentText(int64 until)
{
	if (until == RATES_NEVER)
		return "later";
	return psprintf("at %s", timestamptz_to_str(ClockNow() + Max(until - ClockSteady(), 0)));
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	RateLimits	 pay;
	RatesRefusal why;
	RatesAnswer	 answer;
	const char	*name;

	if (question->route == NULL || !RatesToPay(question->route->route_id, &pay))
		return false;
	if (!RatesPresent())
	{
		refusal->reason_code = REASON_NEEDS_PRELOAD;
		return true;
	}
	answer = RatesRoom(&pay, question->job != NULL ? JobWeight(question->job) : 1, &why, false);
	if (answer == RATES_ROOM)
		return false;
	name = LimitNameIn(LimitsOfRoute(question->route->route_id), why.limit_id);
	switch (answer)
	{
		case RATES_ROOM:
			break;
		case RATES_RATE:
			refusal->reason_code = REASON_RATE_LIMIT;
			refusal->reason = psprintf("the rate of limit \"%s\" lets the next job start %s", name, MomentText(why.until));
			break;
		case RATES_QUOTA:
			refusal->reason_code = REASON_QUOTA;
			refusal->reason = psprintf("the quota of limit \"%s\" lets the next job start %s", name, MomentText(why.until));
			break;
		case RATES_TOO_HEAVY:
			refusal->reason_code = REASON_WEIGHT_OVER_LIMIT;
			refusal->reason = psprintf("the job weighs more than limit \"%s\" lets start at once", name);
			refusal->hint = "Give the limit a greater burst or quota by taskq.alter_limit(), or cancel the job.";
			break;
		case RATES_UNKNOWN:
			refusal->reason_code = REASON_LIMIT_ARMING;
			refusal->reason = psprintf("limit \"%s\" is not armed yet, see taskq.limits", name);
			break;
		case RATES_NO_MEMORY:
			refusal->reason_code = REASON_LIMIT_MEMORY;
			refusal->reason = psprintf("shared memory has no room for limit \"%s\"", name);
			refusal->hint = "It has room for 4096 limits with a rate or a quota. Drop others by taskq.drop_limit().";
			break;
	}
	return true;
}

const AdmissionRule admit_rate = {
	.name = "rate",
	.may_run = MayRunOf,
	.next = NextOf,
	.admit_route = AdmitJobsOf,
	.hold = PayForJob,
	.started = StartJob,
	.still_holds = StillPays,
	.leave = LeaveJob,
	.explain = Explain,
};
