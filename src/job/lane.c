/*
 * lane.c
 *	  The keys of a job by which it may be limited, and its lane.
 *
 * If a limit of a route is for each value of a key, the route's jobs wait in lanes
 * (ready/key_lane.c).  The lane of a job follows from its keys and from the limits, and is
 * written with each row of a waiting job.  When limits change, the scheduler moves the
 * jobs that are in another lane than they should be (process/keep_lanes.c).
 */
#include "taskq.h"

#include "utils/builtins.h"

#include "base/clock.h"
#include "config/route.h"
#include "job/count_rows.h"
#include "job/lane.h"
#include "ready/key_lane.h"
#include "ready/ready.h"
#include "shared/wake.h"
#include "store/catalog.h"
#include "store/columns.h"

static void
CopyKey(struct varlena *value, char *copy)
{
	if (value != NULL)
		text_to_cstring_buffer(DatumGetTextPP(PointerGetDatum(value)), copy, TASKQ_NAME_MAX + 1);
}

/* Return the keys of a job by its row, or NULL if no limit of its route asks for them. */
const JobKeys *
KeysOfRow(int32 route_id, TupleTableSlot *row, JobKeys *keys)
{
	if (LimitsOfRoute(route_id)->keys == 0)
		return NULL;
	memset(keys, 0, sizeof(*keys));
	slot_getsomeattrs(row, Max(Anum_jobs_tenant_id, Anum_jobs_group_key));
	CopyKey(SlotPointer(row, Anum_jobs_tenant_id), keys->tenant_id);
	CopyKey(SlotPointer(row, Anum_jobs_group_key), keys->group_key);
	return keys;
}

/* Return the keys of a job, or NULL if no limit of its route asks for them. */
const JobKeys *
KeysOfJob(const TaskqJob *job, JobKeys *keys)
{
	if (LimitsOfRoute(job->route_id)->keys == 0)
		return NULL;
	memset(keys, 0, sizeof(*keys));
	CopyKey(job->tenant_id, keys->tenant_id);
	CopyKey(job->group_key, keys->group_key);
	return keys;
}

/* Return the lane in which the job should wait, or 0. */
int64
JobLane(const TaskqJob *job)
{
	const RouteLimits *limits;
	JobKeys			   keys;

	if (KeysOfJob(job, &keys) == NULL)
		return 0;
	limits = LimitsOfRoute(job->route_id);
	if (limits->ordered == 0)
		return LaneOf(limits->keys, &keys);
	if (keys.group_key[0] == '\0' || (limits->skips_delayed && job->run_at > ClockNow()))
		return LaneBesideOrder(&keys);
	return LaneInOrder(limits->ordered, keys.group_key);
}

/* Return the group of a job of a fair queue by its row. */
int64
GroupOfRow(int32 route_id, TupleTableSlot *row)
{
	JobKeys keys;

	return LaneOf(LimitsOfRoute(route_id)->turns.fair_by, KeysOfRow(route_id, row, &keys));
}

/* Return the group of a job of a fair queue. */
int64
GroupOfJob(const TaskqJob *job)
{
	JobKeys keys;
	uint8	fair_by = LimitsOfRoute(job->route_id)->turns.fair_by;

	return LANE_KEYS(job->lane) == fair_by ? job->lane : LaneOf(fair_by, KeysOfJob(job, &keys));
}

/* Write the row of a waiting job, which is locked, with the lane in which it should wait. */
void
JobMoveToLane(Store *jobs, TaskqJob *job)
{
	ReadyHint hint = { { job->run_at, job->job_id } };

	ReadyLaneLeft(job->lane);
	job->lane = JobLane(job);
	JobWrite(job, StoreNewRow(jobs));
	StoreUpdate(jobs);
	hint.tid = jobs->row->tts_tid;
	ReadyLeft(job->job_id);
	ReadyOpened(job->route_id, job->priority, job->lane, &hint);
	WakeForJob(job->route_id, job->run_at, ClockNow());
}

/* Count a job, which is counted in this class in its route, in another route. */
void
JobCountIn(const TaskqJob *job, int32 route_id, CountClass class)
{
	JobAge age = { job->created_at, job->job_id };

	CountsChange(job->route_id, class, COUNT_NOT, &age);
	CountsChange(route_id, COUNT_NOT, class, &age);
}

/* Move a waiting job, whose row is locked, to the route of its tenant.  Returns false if it is in the right one. */
bool
JobMoveToTenant(Store *jobs, TaskqJob *job)
{
	int32 route_id = RouteForTenant(job->route_id, job->tenant_id);

	if (route_id == job->route_id)
		return false;
	JobCountIn(job, route_id, CountClassOf(job->state, job->run_at, job->created_at));
	job->route_id = route_id;
	JobMoveToLane(jobs, job);
	return true;
}

/*
 * A claim has ended.  Free what it holds of limits, and let those jobs start that wait for
 * it.  Returns false if it holds nothing.  Cannot fail.
 */
bool
LimitsRelease(int64 job_id, int64 epoch)
{
	HeldValues freed;
	bool	   held = HoldersRelease(job_id, epoch, &freed);

	for (int i = 0; i < freed.n; i++)
		KeyLanesFreed(&freed.values[i], 1);
	return held;
}
