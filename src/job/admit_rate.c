/*
 * admit_rate.c
 *	  Rule: no more jobs start than the rates and quotas of the limits of their route allow.
 *
 * A claim pays before it locks the job's row, like it holds concurrency (admit_limit.c).  If it
 * is undone before a handler is called, it gets back what it has paid.  When a handler was
 * called, the start stays paid, whatever becomes of the transaction: the handler may have had
 * effects outside.
 *
 * If a limit is for values of keys, and lets no other job with the same value start now, the
 * lane of these jobs waits: until a moment, or until the scheduler has reserved a portion.
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
#include "job/lane.h"
#include "ready/key_lane.h"
#include "shared/rates.h"
#include "shared/shmem.h"

/* The longest time that a lane waits without being tried again.  A claim may not know yet that its limit was changed. */
#define LONGEST_WAIT USECS_PER_MINUTE

/*
 * Write the rates and quotas of the job with this row, or with NULL, those that are for all
 * jobs of the route alike.  Returns false if there are none.
 */
static bool
RatesToPay(int32 route_id, TupleTableSlot *row, RateLimits *pay)
{
	JobKeys keys;

	if (!LimitsOfRoute(route_id)->rates)
		return false;
	return LimitsToPay(route_id, row == NULL ? NULL : KeysOfRow(route_id, row, &keys), pay);
}

/* With the row of a job, may it start?  Otherwise, may a job of the route start, as far as all of them are alike? */
static bool
AdmitJobsOf(int32 route_id, TupleTableSlot *row)
{
	RateLimits	 pay;
	RatesRefusal refusal;

	if (!RatesToPay(route_id, row, &pay))
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

	if (!RatesToPay(route_id, NULL, &pay) || !RatesPresent() || RatesRoom(&pay, 1, &refusal, false) != RATES_RATE ||
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
		if (RatesArePaid(pay, paid))
			return true;
		RatesStarted(paid);
		return false;
	}
	return false;
}

/* claims ------------------------------------------------------------------------ */

/* Let the lane of the job wait for a value of a key that lets no other job start now. */
static void
WaitForValue(Admitting *claim, Oid relid, RatesAnswer answer, const RatesRefusal *refusal, int32 weight)
{
	HeldWait *wait = &claim->value;

	claim->waits_for_value = true;
	memset(wait, 0, sizeof(*wait));
	wait->value.relid = relid;
	wait->value.kind = answer == RATES_NO_MEMORY ? HELD_MEMORY : HELD_RATE;
	wait->weight = weight;
	wait->until = HELD_NEVER;
	/* any value will do */
	if (answer == RATES_NO_MEMORY)
	{
		wait->value.value[0] = '*';
		return;
	}
	wait->value.limit_id = refusal->limit->limit_id;
	memcpy(wait->value.value, refusal->limit->value, HELD_VALUE_SIZE);

	/* the scheduler lets the lane go when it has reserved a portion */
	if (answer == RATES_RATE && !refusal->limit->lasting && refusal->limit->quota == 0)
		wait->until = Min(refusal->until, ClockSteady() + LONGEST_WAIT);
}

static bool
PayForJob(Admitting *claim, int32 route_id, int64 job_id, TupleTableSlot *row)
{
	RateLimits	 pay;
	RatePaid	*paid;
	RatesRefusal refusal = { NULL };
	RatesAnswer	 answer;
	int32		 weight;

	if (!RatesToPay(route_id, row, &pay))
		return true;
	if (!RatesPresent())
		return false;
	ReserveKept();
	TASKQ_INJECTION_POINT("rate-pay");
	paid = MemoryContextAlloc(TopTransactionContext, sizeof(RatePaid));
	weight = JobWeightOfRow(row);
	answer = TakeKept(job_id, &pay, paid) ? RATES_ROOM : RatesTake(&pay, weight, paid, &refusal);
	if (refusal.limit != NULL && refusal.limit->by_key)
		WaitForValue(claim, pay.relid, answer == RATES_ROOM ? RATES_RATE : answer, &refusal, answer == RATES_ROOM ? 1 : weight);
	if (answer != RATES_ROOM)
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
	JobKeys			 keys;
	const Admission *admission = AdmissionLast(job->job_id);

	if (LimitsVersion() == claim->limits_version || !LimitsToPay(job->route_id, KeysOfJob(job, &keys), &pay))
		return true;
	return admission->paid != NULL && RatesArePaid(&pay, admission->paid);
}

static void
LeaveJob(const Admission *admission, LeaveHow how)
{
	HeldValues freed;

	if (admission->paid == NULL || how != LEAVE_UNDONE)
		return;
	if (admission->paid->called)
	{
		Keep(admission);
		return;
	}
	RatesReturn(admission->paid, &freed);
	for (int i = 0; i < freed.n; i++)
		KeyLanesFreed(&freed.values[i], admission->paid->weight);
}

/* explaining ---------------------------------------------------------------------- */

static const char *const no_memory_for_value = "taskq.max_rate_values other values of keys have a rate or a quota";

/* Return the moment as users see it. */
static const char *
MomentText(int64 until)
{
	if (until == RATES_NEVER)
		return "later";
	return psprintf("at %s", timestamptz_to_str(ClockNow() + Max(until - ClockSteady(), 0)));
}

/* Do all due jobs of a route wait because of their values, and next for a rate or quota? */
static bool
ExplainLanes(int32 route_id, Refusal *refusal)
{
	LaneWaits waits;

	if (LimitsOfRoute(route_id)->keys == 0 || !KeyLanesAllWait(route_id, &waits) || waits.kind == HELD_JOBS)
		return false;
	refusal->reason_code = waits.kind == HELD_RATE ? REASON_RATE_LIMIT : REASON_LIMIT_MEMORY;
	if (waits.kind == HELD_RATE)
		refusal->reason = psprintf("all jobs that are due have keys whose limits let the next job start %s", MomentText(waits.until));
	else
		refusal->reason = no_memory_for_value;
	return true;
}

/* Set why a job may not start. */
static void
ExplainRefusal(const char *name, const char *values, RatesAnswer answer, const RatesRefusal *why, Refusal *refusal)
{
	switch (answer)
	{
		case RATES_ROOM:
			break;
		case RATES_RATE:
			refusal->reason_code = REASON_RATE_LIMIT;
			refusal->reason = psprintf("the rate of limit \"%s\"%s lets the next job start %s", name, values, MomentText(why->until));
			break;
		case RATES_QUOTA:
			refusal->reason_code = REASON_QUOTA;
			refusal->reason = psprintf("the quota of limit \"%s\"%s lets the next job start %s", name, values, MomentText(why->until));
			break;
		case RATES_TOO_HEAVY:
			refusal->reason_code = REASON_WEIGHT_OVER_LIMIT;
			refusal->reason = psprintf("the job weighs more than limit \"%s\"%s lets start at once", name, values);
			refusal->hint = "Give the limit a greater burst or quota by taskq.alter_limit(), or cancel the job.";
			break;
		case RATES_UNKNOWN:
			refusal->reason_code = REASON_LIMIT_ARMING;
			refusal->reason = psprintf("limit \"%s\" is not armed yet%s, see taskq.limits", name, values);
			break;
		case RATES_NO_MEMORY:
			refusal->reason_code = REASON_LIMIT_MEMORY;
			refusal->reason = values[0] != '\0' ? no_memory_for_value : psprintf("shared memory has no room for limit \"%s\"", name);
			refusal->hint = values[0] != '\0' ? "Raise taskq.max_rate_values and restart the server, or wait until other values are not used any more."
											  : "It has room for 4096 limits with a rate or a quota. Drop others by taskq.drop_limit().";
			break;
	}
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	RateLimits	 pay;
	RatesRefusal why;
	RatesAnswer	 answer;
	JobKeys		 keys;
	int32		 route_id;

	if (question->route == NULL)
		return false;
	route_id = question->route->route_id;
	if (RatesPresent() && question->job == NULL && ExplainLanes(route_id, refusal))
		return true;
	if (!LimitsToPay(route_id, question->job == NULL ? NULL : KeysOfJob(question->job, &keys), &pay))
		return false;
	if (!RatesPresent())
	{
		refusal->reason_code = REASON_NEEDS_PRELOAD;
		return true;
	}
	answer = RatesRoom(&pay, question->job != NULL ? JobWeight(question->job) : 1, &why, false);
	if (answer == RATES_ROOM)
		return false;
	ExplainRefusal(LimitNameIn(LimitsOfRoute(route_id), why.limit->limit_id), LimitForValue(why.limit->value), answer, &why, refusal);
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
