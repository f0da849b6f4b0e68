/*
 * admit_limit.c
 *	  Rule: no more jobs run than the limits of their route allow.
 *
 * What runs is kept in shared memory (shared/holders.c).  A claim holds the limits from
 * before it locks the job's row until the run has ended and that is committed, or until the
 * claim is undone.  If it took them with the row locked, a claim that finds no room would
 * keep the job from others until the end of its transaction.
 *
 * The limits may change while a claim is made.  A claim remembers by which version of them
 * a job was admitted, and take.c asks again if another version is known afterwards.  So
 * no job starts after the commit of a change that forbids it.
 *
 * A transaction that has changed limits itself would see its own ones.  Until it has
 * committed, others must not see jobs running that the old ones forbid, so it starts none.
 */
#include "taskq.h"

#include "config/changes.h"
#include "config/limit.h"
#include "job/admit_rules.h"
#include "shared/holders.h"
#include "store/catalog.h"

/* Write the limits of a route as the memory of holders wants them.  Returns false if there are none. */
static bool
LimitsToHold(int32 route_id, HeldLimits *held)
{
	const RouteLimits *limits = LimitsOfRoute(route_id);

	held->n = 0;
	for (int i = 0; i < limits->n; i++)
		if (limits->limits[i].concurrency >= 0)
			held->limits[held->n++] = (HeldLimit){ limits->limits[i].limit_id, limits->limits[i].concurrency };
	if (held->n == 0)
		return false;
	held->relid = CatalogRel(REL_LIMITS);
	held->route_id = route_id;
	return true;
}

/* How many jobs of the route may run, with those that run now?  0 if no other may start now. */
static int
MayRunOf(int32 route_id)
{
	HeldLimits held;
	int		   most = PG_INT32_MAX;
	int32	   which;

	if (ConfigHasChangedHere(REL_LIMITS))
		return 0;
	if (!LimitsToHold(route_id, &held))
		return most;
	if (!HoldersPresent() || HoldersRoom(&held, &which, true) != HOLDERS_ROOM)
		return 0;
	for (int i = 0; i < held.n; i++)
		most = Min(most, held.limits[i].most);
	return most;
}

static bool
AdmitJobsOf(int32 route_id, TupleTableSlot *row)
{
	return MayRunOf(route_id) > 0;
}

static bool
HoldForJob(Admitting *claim, int32 route_id, int64 job_id, TupleTableSlot *row)
{
	HeldLimits held;

	claim->limits_version = LimitsVersion();
	claim->holds_limits = false;
	if (ConfigHasChangedHere(REL_LIMITS))
		return false;
	if (!LimitsToHold(route_id, &held))
		return true;
	if (!HoldersPresent() || HoldersTake(&held, job_id, claim->epoch) != HOLDERS_ROOM)
		return false;
	claim->holds_limits = true;
	return true;
}

static void
StampJob(const Admitting *claim, const Admission *before, int64 epoch)
{
	if (claim->holds_limits)
		HoldersStamp(before->job_id, before->epoch, epoch);
}

/* A job that holds all limits that are in force now may start, unless one was lowered. */
static bool
StillHolds(const Admitting *claim, const TaskqJob *job)
{
	HeldLimits held;

	if (LimitsVersion() == claim->limits_version || !LimitsToHold(job->route_id, &held))
		return true;
	return HoldersPresent() && HoldersHold(&held, job->job_id, claim->epoch);
}

/* A prepared transaction may still be rolled back.  The scheduler looks when it has ended. */
static void
LeaveJob(const Admission *admission, LeaveHow how)
{
	if (how != LEAVE_PREPARED)
		(void) HoldersRelease(admission->job_id, admission->epoch);
}

static const char *
NameOf(const RouteLimits *limits, int32 limit_id)
{
	for (int i = 0; i < limits->n; i++)
		if (limits->limits[i].limit_id == limit_id)
			return limits->limits[i].name;
	return "?";
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	HeldLimits	  held;
	HoldersAnswer answer;
	int32		  which = 0;
	const char	 *name;

	if (question->route == NULL)
		return false;
	if (ConfigHasChangedHere(REL_LIMITS))
	{
		refusal->reason_code = REASON_LIMIT_ARMING;
		refusal->reason = "this transaction has changed limits";
		return true;
	}
	if (!LimitsToHold(question->route->route_id, &held))
		return false;
	if (!HoldersPresent())
	{
		refusal->reason_code = REASON_NEEDS_PRELOAD;
		return true;
	}
	answer = HoldersRoom(&held, &which, false);
	name = NameOf(LimitsOfRoute(question->route->route_id), which);
	switch (answer)
	{
		case HOLDERS_ROOM:
			return false;
		case HOLDERS_FULL:
			refusal->reason_code = REASON_LIMIT;
			refusal->reason = psprintf("limit \"%s\" is reached", name);
			refusal->hint = "Try again when one of the running jobs has ended, see taskq.limit_usage.";
			break;
		case HOLDERS_ARMING:
			refusal->reason_code = REASON_LIMIT_ARMING;
			refusal->reason = psprintf("limit \"%s\" is not armed yet, see taskq.limits", name);
			break;
		case HOLDERS_NO_MEMORY:
			refusal->reason_code = REASON_LIMIT_MEMORY;
			break;
	}
	return true;
}

const AdmissionRule admit_limit = {
	.name = "limit",
	.may_run = MayRunOf,
	.admit_route = AdmitJobsOf,
	.hold = HoldForJob,
	.stamp = StampJob,
	.still_holds = StillHolds,
	.leave = LeaveJob,
	.explain = Explain,
};
