/*
 * transition.c
 *	  The state machine, which makes every change of a job's state.
 *
 * Only the functions of this file create, change, end and revive a job.  They check
 * the change, write the row, and call the observers in the order of their table
 * (src/observers.c).  This file knows none of the observers.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/guc.h"
#include "config/route.h"
#include "job/count_rows.h"
#include "job/fence.h"
#include "job/history.h"
#include "job/lane.h"
#include "job/transition.h"
#include "store/counter.h"
#include "store/owner.h"

/* The states that each state may change to. */
static const struct
{
	char		from;
	const char *to;
} transitions[] = {
	{ JOB_NEW, "ad" },
	{ JOB_AVAILABLE, "arxd" },
	{ JOB_RETRYABLE, "arxd" },
	{ JOB_RUNNING, "ctdxqa" },
	{ JOB_DISCARDED, "a" },
	{ JOB_CANCELLED, "a" },
	{ JOB_QUARANTINED, "a" },
	{ JOB_COMPLETED, "a" }, /* only with force, which retry_job() checks */
};

static const TransitionObserver *observers = NULL;
static int						 n_observers = 0;

/* Set the table of observers.  Called once, when the library is loaded. */
void
TransitionSetObservers(const TransitionObserver *table, int n)
{
	observers = table;
	n_observers = n;
}

void
RefuseTransition(const TaskqJob *job, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_INVALID_TRANSITION),
			 errmsg("job " INT64_FORMAT " is %s and cannot be %s", job->job_id, JobStateName(job), what),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* Raise an error because another transaction has locked the row of a waiting job. */
void
RefuseHeld(const TaskqJob *job, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("job " INT64_FORMAT " is held by another transaction and cannot be %s", job->job_id, what),
			 errdetail("That transaction has locked the job's row, and may be claiming the job."),
			 errhint("Try again when it has ended.")));
}

static void
CheckTransition(const TaskqJob *job, char to)
{
	for (int i = 0; i < lengthof(transitions); i++)
		if (transitions[i].from == job->state && strchr(transitions[i].to, to) != NULL)
			return;
	RefuseTransition(job, StateName(to, job->run_at), NULL);
}

/* Does a job in this state have a row among the live jobs? */
static bool
IsLive(char state)
{
	return state != JOB_NEW && !JobEnded(state);
}

/* Check what callers must have done before they change a job's state. */
static void
AssertPrepared(Store *jobs, const TaskqJob *job, char to)
{
	Assert(observers != NULL);
	AssertOwner();
	Assert(job->job_id != 0 && job->route_id != 0);
	Assert(!IsLive(job->state) || JobIdOfRow(jobs->found) == job->job_id);
	Assert(!IsLive(job->state) || StoreIsLocked(jobs));

	/* a run has an epoch of this timeline, a worker and a start time */
	Assert(job->state != JOB_RUNNING || job->epoch != 0);
	Assert(to != JOB_RUNNING || (EpochIsOurs(job->epoch) && job->worker_id != NULL && job->started_at != 0));
	Assert(to != JOB_RUNNING || (job->attempt > 0 && job->last_outcome == OUTCOME_NONE));
}

/* Write the row.  If the job ends, its row moves to the history. */
static void
WriteRow(Store *jobs, const TaskqJob *job, char from, struct varlena *result, TimestampTz now)
{
	if (JobEnded(job->state))
	{
		HistoryInsert(jobs, job, result, now);
		if (IsLive(from))
			StoreDelete(jobs);
		return;
	}
	JobWrite(job, IsLive(from) ? StoreNextVersion(jobs) : StoreNewRow(jobs));
	if (IsLive(from))
		StoreUpdate(jobs);
	else
		StoreInsert(jobs);
}

static void
TellObservers(const Transition *transition)
{
	for (int i = 0; i < n_observers; i++)
		observers[i].observe(transition);
}

/* A job that begins to wait again may belong into a route of its tenant by now (config/tenant.c). */
static void
ChooseRoute(TaskqJob *job, char row_state, TimestampTz was_due_at)
{
	int32 route_id = RouteForTenant(job->route_id, job->tenant_id);

	if (route_id != job->route_id)
		JobCountIn(job, route_id, CountClassOf(row_state, was_due_at, job->created_at));
	job->route_id = route_id;
}

/*
 * Change the state of a job, write the row and call the observers.  The current
 * user is the owner. The caller has locked the live row in jobs->found, if there is
 * one, and has set all other values of the job.
 */
static void
Change(Store *jobs, TaskqJob *job, char to, struct varlena *result)
{
	bool	   bring_snapshot = !ActiveSnapshotSet();
	Transition transition = {
		.job = job,
		.from = job->state,
		.row_state = JOB_NEW,
		.now = ClockNow(),
		.batch = jobs->batch,
		.result = result,
		.worker_id = job->worker_id,
		.instance_id = job->instance_id,
		.started_at = job->started_at,
		.lease_expires_at = job->lease_expires_at,
		.permit = job->permit,
	};

	AssertPrepared(jobs, job, to);
	CheckTransition(job, to);
	if (IsLive(job->state))
	{
		JobKey key;

		/* a run in a background worker leaves its row in a waiting state */
		transition.waited = JobIsOpen(jobs->found);
		transition.was_lane = transition.waited ? job->lane : 0;
		JobReadKey(&key, jobs->found);
		transition.was_due_at = key.run_at;
		transition.row_state = JobStateOfRow(jobs->found);
	}

	job->state = to;
	if (transition.from == JOB_RUNNING)
		job->permit = 0;
	if (transition.from == JOB_RUNNING && !JobEnded(to))
	{
		job->worker_id = job->instance_id = NULL;
		job->started_at = 0;
		job->lease_expires_at = 0;
	}

	if (IsLive(to) && to != JOB_RUNNING && job->tenant_id != NULL)
		ChooseRoute(job, transition.row_state, transition.was_due_at);
	if (IsLive(to))
		job->lane = to == JOB_RUNNING ? job->lane : JobLane(job);

	/* a large payload is fetched and stored again when the row moves to another table */
	if (bring_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	WriteRow(jobs, job, transition.from, result, transition.now);
	if (JobEnded(to))
		ItemPointerSetInvalid(&transition.tid);
	else
		transition.tid = jobs->row->tts_tid;
	TellObservers(&transition);
	if (bring_snapshot)
		PopActiveSnapshot();
}

/* Draw ids for new jobs. */
void
JobDrawIds(int64 *ids, int n)
{
	CounterDraw(COUNTER_JOB_ID, ids, n);
	for (int i = 0; i < n; i++)
		ids[i] |= (int64) taskq_node_id << TASKQ_ID_BITS;
}

/* Create a job, which waits to be claimed.  The job has its id. */
void
JobCreate(Store *jobs, TaskqJob *job)
{
	Assert(job->state == JOB_NEW);
	Change(jobs, job, JOB_AVAILABLE, NULL);
}

/*
 * Gather rows of new jobs until there is no room for more, and insert them.  The jobs
 * differ from "job" in their ids and payloads.  Returns how many jobs were inserted.
 */
static int
InsertNew(Store *jobs, TaskqJob *job, const int64 *ids, const Datum *payloads, int n, ItemPointer tids)
{
	bool is_full = false;
	int	 inserted = 0;

	while (inserted < n && !is_full)
	{
		CHECK_FOR_INTERRUPTS();
		job->job_id = ids[inserted];
		job->payload = (struct varlena *) DatumGetPointer(payloads[inserted]);
		if (inserted == 0)
			JobWrite(job, StoreNewRow(jobs));
		else
			JobWriteNext(job, StoreSameRow(jobs));
		is_full = StoreGather(jobs);
		inserted++;
	}
	StoreInsertGathered(jobs, tids);
	return inserted;
}

/*
 * Create several jobs, which wait to be claimed, as JobCreate() does.  They differ from
 * "job" in their ids and payloads.
 */
void
JobCreateMany(Store *jobs, TaskqJob *job, const int64 *ids, const Datum *payloads, int n)
{
	ItemPointerData tids[STORE_MAX_GATHERED];
	Transition		transition = { .job = job, .from = JOB_NEW, .row_state = JOB_NEW, .now = ClockNow(), .batch = jobs->batch };
	int				done = 0;

	Assert(ActiveSnapshotSet());
	job->lane = JobLane(job);
	while (done < n)
	{
		int inserted;

		job->state = JOB_NEW;
		job->job_id = ids[done];
		AssertPrepared(jobs, job, JOB_AVAILABLE);
		CheckTransition(job, JOB_AVAILABLE);
		job->state = JOB_AVAILABLE;
		inserted = InsertNew(jobs, job, ids + done, payloads + done, n - done, tids);
		for (int i = 0; i < inserted; i++)
		{
			job->job_id = ids[done + i];
			job->payload = (struct varlena *) DatumGetPointer(payloads[done + i]);
			transition.tid = tids[i];
			TellObservers(&transition);
		}
		done += inserted;
	}
}

/* Change a live job to another live state. */
void
JobChange(Store *jobs, TaskqJob *job, char to)
{
	Assert(IsLive(job->state) && IsLive(to));
	Assert(job->state != JOB_RUNNING || job->last_outcome != OUTCOME_NONE);
	Change(jobs, job, to, NULL);
}

/* End a live job, or one that was never created. */
void
JobEnd(Store *jobs, TaskqJob *job, char to, struct varlena *result)
{
	Assert(!JobEnded(job->state) && JobEnded(to));
	Assert(result == NULL || to == JOB_COMPLETED);
	Change(jobs, job, to, result);
}

/*
 * Give an ended job a new life with all its attempts.  The caller has marked its
 * history row as superseded.
 */
void
JobRevive(Store *jobs, TaskqJob *job)
{
	Assert(JobEnded(job->state));
	job->life++;
	job->attempt = 0;
	job->worker_id = job->instance_id = NULL;
	job->started_at = 0;
	job->progress = NULL;
	if (job->state == JOB_COMPLETED)
		job->checkpoint = NULL; /* all of its work was done, and must be done again */
	job->run_at = ClockNow();
	Change(jobs, job, JOB_AVAILABLE, NULL);
}
