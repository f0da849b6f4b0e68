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
#include "config/queue.h"
#include "config/route.h"
#include "job/admit_rules.h"
#include "job/lane.h"
#include "ready/key_lane.h"
#include "shared/holders.h"
#include "store/catalog.h"

/*
 * Could a job of the route start that is under its limits for values of keys, if none of
 * them was full?  If not, *limit_id is the limit, or 0 if there is no memory.  With "wait",
 * a process that waits for the route is woken then.
 */
static HoldersAnswer
AskKeyLimits(int32 route_id, int32 *limit_id, bool wait)
{
	const RouteLimits *limits = LimitsOfRoute(route_id);
	HoldersAnswer	   answer = HOLDERS_ROOM;
	HeldLimits		   held;
	int				   which;

	held.relid = CatalogRel(REL_LIMITS);
	held.route_id = route_id;
	held.n = 0;
	for (int i = limits->n_plain; i < limits->n && answer == HOLDERS_ROOM; i++)
	{
		if (limits->limits[i]->numbers.concurrency >= 0)
			held.limits[held.n++] = (HeldLimit){ .limit_id = limits->limits[i]->limit_id, .most = PG_INT32_MAX, .by_key = true };
		if (held.n == 0 || (held.n < MAX_HELD && i < limits->n - 1))
			continue;
		answer = HoldersRoom(&held, &which, wait);
		*limit_id = which < 0 ? 0 : held.limits[which].limit_id;
		held.n = 0;
	}
	return answer;
}

/* Has this transaction changed limits, or the order of the route's queue? */
static bool
HasChangedHere(int32 route_id)
{
	return ConfigHasChangedHere(REL_LIMITS) ||
		   (ConfigHasChangedHere(REL_QUEUES) && ConfigNumberHasChangedHere(REL_QUEUES, ORDER_OF(RouteById(route_id)->queue_id)));
}

/* How many jobs of the route may run, with those that run now?  0 if no other may start now. */
static int
MayRunOf(int32 route_id)
{
	HeldLimits held;
	int32	   limit_id;
	int		   most = PG_INT32_MAX;
	int		   which;

	if (HasChangedHere(route_id))
		return 0;
	if (LimitsOfRoute(route_id)->keys != 0 &&
		(!HoldersPresent() || AskKeyLimits(route_id, &limit_id, true) != HOLDERS_ROOM))
		return 0;
	if (!LimitsToHold(route_id, NULL, &held))
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
	HeldLimits	  held;
	JobKeys		  keys;
	HoldersAnswer answer;
	int			  which;

	claim->limits_version = LimitsVersion();
	claim->holds_limits = false;
	if (HasChangedHere(route_id))
		return false;
	if (!LimitsToHold(route_id, KeysOfRow(route_id, row, &keys), &held))
		return true;
	if (!HoldersPresent())
		return false;
	answer = HoldersTake(&held, job_id, claim->epoch, &which);
	claim->holds_limits = answer == HOLDERS_ROOM;
	if ((answer == HOLDERS_FULL || answer == HOLDERS_ROOM) && which >= 0 && held.limits[which].by_key)
	{
		claim->waits_for_value = true;
		claim->value = (HeldWait){ { held.relid, held.limits[which].limit_id, HELD_JOBS }, held.limits[which].most, .until = HELD_NEVER };
		memcpy(claim->value.value.value, held.limits[which].value, HELD_VALUE_SIZE);
	}
	return claim->holds_limits;
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
	JobKeys	   keys;

	if (LimitsVersion() == claim->limits_version || !LimitsToHold(job->route_id, KeysOfJob(job, &keys), &held))
		return true;
	return HoldersPresent() && HoldersHold(&held, job->job_id, claim->epoch);
}

/* A prepared transaction may still be rolled back.  The scheduler looks when it has ended. */
static void
LeaveJob(const Admission *admission, LeaveHow how)
{
	if (how != LEAVE_PREPARED)
		(void) LimitsRelease(admission->job_id, admission->epoch);
}

/* Do all due jobs of a route wait because of their values? */
static bool
ExplainLanes(int32 route_id, Refusal *refusal)
{
	LaneWaits waits;

	if (LimitsOfRoute(route_id)->keys == 0 || !KeyLanesAllWait(route_id, &waits) || waits.kind != HELD_JOBS)
		return false;
	if (LimitsOfRoute(route_id)->ordered != 0)
	{
		refusal->reason_code = REASON_ORDER;
		refusal->reason = "before each job that is due, other jobs of its group come, or a limit is reached for its keys";
		refusal->hint = "Try again when one of the running jobs has ended.";
		return true;
	}
	refusal->reason_code = REASON_LIMIT;
	refusal->reason = "all jobs that are due have keys for which a limit is reached";
	refusal->hint = "Try again when one of the running jobs has ended, see taskq.limit_usage.";
	return true;
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	const RouteLimits *limits;
	HeldLimits		   held;
	HoldersAnswer	   answer = HOLDERS_ROOM;
	JobKeys			   keys;
	int				   which = -1;
	int32			   limit_id = 0;
	const char		  *values = "";
	const char		  *name;

	if (question->route == NULL)
		return false;
	if (HasChangedHere(question->route->route_id))
	{
		refusal->reason_code = REASON_LIMIT_ARMING;
		refusal->reason = ConfigHasChangedHere(REL_LIMITS) ? "this transaction has changed limits"
														   : "this transaction has changed the order of the queue";
		return true;
	}
	limits = LimitsOfRoute(question->route->route_id);
	if ((limits->n > 0 || limits->turns.queue_id != 0) && !HoldersPresent())
	{
		refusal->reason_code = REASON_NEEDS_PRELOAD;
		if (limits->n == 0)
			refusal->reason = "jobs of a fair queue start only with taskq in shared_preload_libraries";
		return true;
	}
	if (question->job == NULL && ExplainLanes(question->route->route_id, refusal))
		return true;
	if (LimitsToHold(question->route->route_id, question->job == NULL ? NULL : KeysOfJob(question->job, &keys), &held))
		answer = HoldersRoom(&held, &which, false);
	if (which >= 0)
	{
		limit_id = held.limits[which].limit_id;
		values = limit_id >= 0 && held.limits[which].by_key ? LimitForValue(held.limits[which].value) : "";
	}
	if (answer == HOLDERS_ROOM && HoldersPresent())
		answer = AskKeyLimits(question->route->route_id, &limit_id, false);
	name = LimitNameIn(LimitsOfRoute(question->route->route_id), limit_id);
	switch (answer)
	{
		case HOLDERS_ROOM:
			return false;
		case HOLDERS_FULL:
			if (limit_id < 0)
				return false; /* admit_order.c says which job comes first */
			refusal->reason_code = REASON_LIMIT;
			refusal->reason = psprintf("limit \"%s\" is reached%s", name, values);
			refusal->hint = "Try again when one of the running jobs has ended, see taskq.limit_usage.";
			break;
		case HOLDERS_ARMING:
			refusal->reason_code = REASON_LIMIT_ARMING;
			if (limit_id >= 0)
				refusal->reason = psprintf("limit \"%s\" is not armed yet, see taskq.limits", name);
			else
				refusal->reason = "the queue, which is ordered, waits for claims that began before it knew which jobs run";
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
