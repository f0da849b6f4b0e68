/*
 * take.c
 *	  Locking and stamping the job that a claim has chosen.
 *
 * Lock.  The row of a hint is locked if no other transaction has locked it, and
 * passed over otherwise.  A row that has changed since the hint was made is passed
 * over, too.  No query plan is involved, so never more rows are locked than are
 * wanted.
 *
 * Stamp.  For an external worker, the row is updated to state "running", with
 * worker id, epoch and lease.  For a background worker, the row lock is the claim:
 * the job runs and is settled in the same transaction, and only the copy in memory
 * is stamped.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/injection_point.h"
#include "base/text.h"
#include "claim/choose.h"
#include "claim/lane_cursor.h"
#include "claim/take.h"
#include "config/handler.h"
#include "config/stale.h"
#include "job/admit.h"
#include "ready/ready.h"
#include "settle/settle.h"
#include "shared/wake.h"
#include "store/catalog.h"

#ifdef TASKQ_TESTING
static int64 n_tries = 0;

/* Return how many jobs the claims of this process have tried to start, also in vain. */
int64
TakeTries(void)
{
	return n_tries;
}
#endif

/* Take the time of the start, before the configuration is read for the decision. */
static void
TakeTime(const Admitting *admitting, TaskqJob *job)
{
	job->started_at = ClockNow();
	job->epoch = admitting->epoch;
	TASKQ_INJECTION_POINT("claim-stamped");
	pg_memory_barrier();
	ConfigCatchUp();
}

/* Has neither the configuration nor the worker changed since the job was chosen? */
static bool
IsUnchanged(const ClaimRequest *request)
{
	return (request->worker_now == NULL || request->worker_now(request) == request->worker) &&
		   ConfigVersion() == request->config_version;
}

/* May the job start, by what is committed now? */
static bool
MayStart(const ClaimRequest *request, const Admitting *admitting, const TaskqJob *job)
{
	const Claimant *worker = request->worker_now == NULL ? request->worker : request->worker_now(request);

	return worker != NULL && AdmitStillHolds(admitting, job) && MayRun(worker, RouteById(job->route_id));
}

/*
 * Decide whether the job may start, after its row is locked.  The job was chosen by an
 * older configuration, and an older state of the worker's pool or registration.  No job
 * has a start time or an epoch from after the commit of a change that forbids its start,
 * such as the unregistration of its type, and before the commit of one that allows it
 * again.  So both are taken between two looks that allow the start, with no change
 * between the looks.  Of a change that forbids the start and one that allows it again,
 * the first is announced before the second can be committed, because both write the
 * same row.
 */
static bool
IsStillAllowed(const ClaimRequest *request, Admitting *admitting, TaskqJob *job)
{
	uint64 changes;

	TASKQ_INJECTION_POINT("claim-locked");
	TakeTime(admitting, job);
	if (IsUnchanged(request))
		return true;
	do
	{
		changes = ConfigChanges();
		if (!MayStart(request, admitting, job))
		{
			WakeLeft(job->route_id);
			return false;
		}
		AdmitStamp(admitting, job, EpochNext());
		TakeTime(admitting, job);
	} while (!MayStart(request, admitting, job) || ConfigChanges() != changes);
	return true;
}

static bool
SharesCommits(int32 route_id)
{
	const TaskqHandler *handler = HandlerFind(RouteById(route_id)->task_type);

	return handler != NULL && handler->share_commit;
}

/*
 * Does the row wait under the key in the hint?  If not, whoever changed the job has
 * told the ready list.
 */
static bool
IsAsHinted(Store *jobs, int32 route_id, const ScanHint *hint)
{
	TupleTableSlot *row = jobs->found;
	JobKey			key;

	CodecReadStart(jobs->kit->codec, row, Anum_jobs_state);
	JobReadKey(&key, row);
	return JobIsOpen(row) && key.job_id == hint->key.job_id && key.run_at == hint->key.run_at &&
		   key.priority == hint->key.priority && JobRouteOfRow(row) == route_id;
}

/*
 * Find the row of a hint.  No snapshot protects the hint's tid, so it may belong to
 * another row by now, or to none.  Locking such a tid would write where there is no
 * row, so the row is fetched and compared first.  If the hint comes from the ready
 * list, its row may have moved, and is looked up by the job's id.
 */
static bool
FindHinted(ClaimScan *scan, const ClaimCursor *cursor, const ScanHint *hint, ItemPointer tid)
{
	Store *jobs = scan->jobs;

	*tid = hint->tid;
	if (StoreFetch(jobs, tid, SnapshotSelf) && IsAsHinted(jobs, cursor->route_id, hint))
		return true;
	if (CursorReads(cursor) ||
		!StoreFindById(jobs, CatalogRel(REL_JOBS_PKEY), hint->key.job_id, ScanRefresh(&scan->scan)))
		return false;
	*tid = jobs->found->tts_tid;
	return IsAsHinted(jobs, cursor->route_id, hint);
}

/* Lock the row of a hint, and read the job. */
static bool
LockHinted(ClaimScan *scan, const ClaimCursor *cursor, const ScanHint *hint, ItemPointer tid, TaskqJob *job)
{
	if (CursorReads(cursor))
		return JobLock(scan->jobs, tid, false, job) == STORE_LOCKED && IsAsHinted(scan->jobs, cursor->route_id, hint);
	if (StoreLock(scan->jobs, tid, SnapshotSelf, false, false) != STORE_LOCKED ||
		!IsAsHinted(scan->jobs, cursor->route_id, hint))
		return false;
	JobRead(job, scan->jobs->found);
	return true;
}

/*
 * Forget a hint whose row is not there, or cannot be locked.  If another transaction has
 * locked the row, that transaction will put the job back.
 */
static void
DropHint(const ClaimCursor *cursor, const ScanHint *hint)
{
	if (!CursorReads(cursor))
		ReadyDrop(HintPlace(hint));
}

/*
 * Finish a route that may start no job now.  Another process may have been woken for it
 * while this one had its hints, and have found none.  So ask again when they are put back.
 */
static void
FinishFull(ClaimCursor *cursor, TupleTableSlot *row)
{
	ChoosePutBack(cursor);
	if (!AdmitRoute(cursor->route_id, row))
		ChooseFinish(cursor);
}

/* A rule has refused a job: all jobs of the route, or those in the lane of this one, cannot start now. */
static void
PassRefused(ClaimScan *scan, ClaimCursor *cursor, const ScanHint *hint, const Admitting *admitting)
{
	if (admitting->is_behind)
	{
		DropHint(cursor, hint);
		if (cursor->in_lane)
			LaneCursorStall(scan, cursor);
		else
			ChoosePass(scan, cursor, true, NULL);
	}
	else if (!admitting->waits_for_value)
		FinishFull(cursor, scan->jobs->found);
	else if (cursor->in_lane)
	{
		DropHint(cursor, hint);
		ChoosePass(scan, cursor, false, &admitting->value);
	}
	else
		ChoosePass(scan, cursor, true, NULL); /* the scheduler moves the job to a lane */
}

/* Does the lane of a job that has started wait until no job of its group runs, and not for a rate, say? */
static bool
WaitsForGroup(const Admitting *admitting)
{
	return admitting->waits_for_value && admitting->value.value.limit_id < 0;
}

/*
 * Begin a claim of up to "most" jobs for an external worker.  Returns how many the
 * worker may have.  If that is 0, notes in the request which limit is the reason.
 */
int
TakeBegin(Admitting *admitting, ClaimRequest *request, int most)
{
	most = AdmitBegin(admitting, request->worker, request->external, 0, most);
	request->limit_key = most == 0 ? admitting->limit_key : 0;
	return most;
}

/*
 * Lock the next job that may start; returns false if there is none.  The job is
 * read from jobs->found.
 */
bool
TakeNext(ClaimScan *scan, const ClaimRequest *request, Admitting *admitting, TaskqJob *job)
{
	ClaimCursor *cursor;

	while ((cursor = ChooseNext(scan)) != NULL)
	{
		const ScanHint *hint = CursorHint(cursor);
		ItemPointerData tid;
		bool			in_order;

#ifdef TASKQ_TESTING
		n_tries++;
#endif
		/* check this before the lock, so that the job stays free for the next claim */
		if (request->shared_only && !SharesCommits(cursor->route_id))
			return false;
		CHECK_FOR_INTERRUPTS();
		if (!AdmitRoute(cursor->route_id, NULL))
		{
			FinishFull(cursor, NULL);
			continue;
		}
		if (!FindHinted(scan, cursor, hint, &tid))
		{
			DropHint(cursor, hint);
			ChoosePass(scan, cursor, true, NULL);
			continue;
		}
		if (!ChooseHasTurn(cursor, scan->jobs->found))
		{
			DropHint(cursor, hint);
			ChoosePass(scan, cursor, false, NULL);
			continue;
		}
		admitting->tag = cursor->tag;
		admitting->queue_tag = scan->queue_tag;
		if (!AdmitHold(admitting, cursor->route_id, hint->key.job_id, scan->jobs->found))
		{
			PassRefused(scan, cursor, hint, admitting);
			continue;
		}
		in_order = LaneCursorInOrder(cursor);
		if (!in_order)
			ChoosePass(scan, cursor, true, admitting->waits_for_value ? &admitting->value : NULL);
		TASKQ_INJECTION_POINT("claim-chosen");
		if (!LockHinted(scan, cursor, hint, &tid, job))
		{
			AdmitDrop(hint->key.job_id);
			DropHint(cursor, hint);
			if (in_order)
				LaneCursorStall(scan, cursor);
			continue;
		}
		switch (Admit(admitting, job, EpochNext()))
		{
			case ADMIT_YES:
				if (IsStillAllowed(request, admitting, job))
				{
					AdmitStarted(job);
					scan->wanted--;
					if (in_order)
						ChoosePass(scan, cursor, true, WaitsForGroup(admitting) ? &admitting->value : NULL);
					return true;
				}
				AdmitUndo(admitting, job);
				ChooseFinish(cursor);
				break;
			case ADMIT_NOT_NOW:
				if (in_order)
					LaneCursorStall(scan, cursor);
				break;
			case ADMIT_CANCELLED:
				if (in_order)
					LaneCursorStall(scan, cursor);
				(void) SettleIfCancelled(scan->jobs, job);
				CommandCounterIncrement();
				break;
		}
	}
	return false;
}

/* Lock the row of the job, which holds what its route needs, and start it if it may start. */
static bool
TakeLocked(Store *jobs, const ClaimRequest *request, ItemPointer tid, Admitting *admitting, TaskqJob *job)
{
	int64 job_id = job->job_id;
	int32 route_id = job->route_id;

	if (JobLock(jobs, tid, false, job) != STORE_LOCKED || !JobIsOpen(jobs->found) || job->route_id != route_id)
	{
		AdmitDrop(job_id);
		return false;
	}
	if (Admit(admitting, job, EpochNext()) != ADMIT_YES)
		return false;
	if (!IsStillAllowed(request, admitting, job))
	{
		AdmitUndo(admitting, job);
		return false;
	}
	AdmitStarted(job);
	return true;
}

/* Lock the job with this id, if it waits and may start, even if it is not due. */
bool
TakeById(Store *jobs, const ClaimRequest *request, int64 job_id, Admitting *admitting, TaskqJob *job)
{
	Snapshot		snapshot = StoreSnapshot();
	bool			found = StoreFindById(jobs, CatalogRel(REL_JOBS_PKEY), job_id, snapshot);
	ItemPointerData tid;

	if (found)
	{
		tid = jobs->found->tts_tid;
		JobRead(job, jobs->found);
		found = MayRun(request->worker, RouteById(job->route_id)) && AdmitRoute(job->route_id, jobs->found) &&
				AdmitHold(admitting, job->route_id, job_id, jobs->found) && TakeLocked(jobs, request, &tid, admitting, job);
	}
	UnregisterSnapshot(snapshot);
	return found;
}

void
TakeStamp(TaskqJob *job, const ClaimRequest *request)
{
	Assert(job->state != JOB_RUNNING && job->started_at != 0 && request->worker_id != NULL);
	job->attempt++;
	job->last_outcome = OUTCOME_NONE;
	job->worker_id = TextOrNull(request->worker_id);
	if (request->external == NULL)
		job->instance_id = NULL;
	else if (IsDefaultInstance(request->external))
		job->instance_id = job->worker_id;
	else
		job->instance_id = TextOrNull(request->external->instance_id);
}
