/*
 * admit_order.c
 *	  Rule: in an ordered queue, the job of a group starts that has the lowest id.
 *
 * This rule is asked when the claim holds the limit of one job at a time for the group
 * (config/limit.c).  No other job of the group can start until it gives that up, and
 * what the last one has done is committed.  So what the index has now as the first job is
 * the one that must start next.  A job with a lower id that is committed later comes late.
 */
#include "taskq.h"

#include "config/limit.h"
#include "job/admit_rules.h"
#include "job/lane.h"
#include "job/order.h"
#include "job/tenants.h"
#include "ready/key_lane.h"
#include "store/columns.h"
#include "store/store.h"

/* May a job that is not in order have to be put in order? */
static bool
IsToBeMoved(int32 route_id, int64 job_id, int64 lane, bool has_group)
{
	return has_group && (lane == 0 || OrderIsStray(route_id, lane) || !OrderLinedUp(route_id, job_id));
}

static bool
HoldForJob(Admitting *claim, int32 route_id, int64 job_id, TupleTableSlot *row)
{
	OrderFirst first;
	int64	   lane;

	if (LimitsOfRoute(route_id)->ordered == 0)
		return true;
	slot_getsomeattrs(row, Max(Anum_jobs_lane, Anum_jobs_group_key));
	lane = SlotIsNull(row, Anum_jobs_lane) ? 0 : DatumGetInt64(SlotDatum(row, Anum_jobs_lane));
	if (lane >= 0)
		claim->is_behind = IsToBeMoved(route_id, job_id, lane, !SlotIsNull(row, Anum_jobs_group_key));
	else
		claim->is_behind = !OrderLinedUp(route_id, job_id) || !OrderFind(lane, &first) || first.key.job_id != job_id;
	return !claim->is_behind;
}

/* Does another job of the job's group run? */
static bool
GroupRuns(const TaskqJob *job)
{
	HeldLimits held;
	JobKeys	   keys;

	if (!HoldersPresent() || !LimitsToHold(job->route_id, KeysOfJob(job, &keys), &held))
		return false;
	for (int i = 0; i < held.n; i++)
	{
		HeldWait wait = { { held.relid, held.limits[i].limit_id, HELD_JOBS }, held.limits[i].most };

		memcpy(wait.value.value, held.limits[i].value, HELD_VALUE_SIZE);
		if (held.limits[i].limit_id < 0)
			return !HoldersHaveRoom(&wait);
	}
	return false;
}

/* Return which job comes before this one, to those who see the jobs of all tenants, or NULL if none does. */
static const char *
WhatIsFirst(const TaskqJob *job)
{
	OrderFirst first;
	int		   n;

	if (job->lane < 0 ? !OrderLinedUp(job->route_id, job->job_id)
					  : IsToBeMoved(job->route_id, job->job_id, job->lane, job->group_key != NULL))
		return "the jobs of the queue are still being put in order";
	if (job->lane < 0 && OrderFind(job->lane, &first) && first.key.job_id != job->job_id)
	{
		if (TenantsSeen(false) != NULL)
			return "another job of its group comes first";
		n = OrderCount(job->lane, job->job_id, MAX_AHEAD + 1);
		return psprintf("job " INT64_FORMAT " of its group comes first, and %d%s before it", first.key.job_id,
						Min(n, MAX_AHEAD), n > MAX_AHEAD ? "+ jobs wait" : n == 1 ? " job waits"
																				  : " jobs wait");
	}
	return GroupRuns(job) ? "another job of its group runs" : NULL;
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	if (question->job == NULL || LimitsOfRoute(question->job->route_id)->ordered == 0)
		return false;
	refusal->reason = WhatIsFirst(question->job);
	if (refusal->reason == NULL)
		return false;
	refusal->reason_code = REASON_ORDER;
	refusal->hint = "Its queue is ordered, see taskq.alter_queue().";
	return true;
}

const AdmissionRule admit_order = {
	.name = "order",
	.hold = HoldForJob,
	.explain = Explain,
};
