/*
 * claim.c
 *	  Taking jobs: choose, lock, stamp.  Nothing else may start a job.
 *
 * Choose.  The worker's routes are index ranges in the order of a claim
 * (priority, run_at, job_id).  A cursor for each route reads a few hints ahead
 * and the first of all is tried.  Within a priority jobs are in the order of
 * run_at, so the first future one ends it and the cursor seeks the next
 * priority: future jobs are never walked, nor are jobs of foreign routes.
 *
 * Lock.  A hint's row is locked if nobody has it, and passed over otherwise; a
 * row that has changed since the scan is passed over too.  At most as many rows
 * are locked as are wanted, whatever a plan would be: there is none.
 *
 * Stamp.  For an external worker the row becomes a running one with owner,
 * epoch and lease.  For a background worker the row lock is the claim: the job
 * runs and is settled in the same transaction, and only memory is stamped.
 */
#include "taskq.h"

#include <limits.h>

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "admit.h"
#include "args.h"
#include "claim.h"
#include "clock.h"
#include "compat.h"
#include "handler.h"
#include "lease.h"
#include "owner.h"
#include "settle.h"
#include "waitpoint.h"
#include "wake.h"

#define MIN_AHEAD 8
#define MAX_AHEAD 512
#define MAX_PERMITS 200			/* a call takes at most: each is a lock until it commits */

/* A place in the order of a claim. */
typedef struct ClaimKey
{
	int16		priority;
	TimestampTz run_at;
	int64		job_id;
} ClaimKey;

/* A job that was due when the cursor read it. */
typedef struct ClaimHint
{
	ClaimKey	key;
	ItemPointerData tid;
} ClaimHint;

typedef struct ClaimCursor
{
	int32		route_id;
	int			rank;
	bool		started;
	bool		finished;		/* nothing behind the hints read */
	ClaimKey	after;			/* read on behind this place */
	ClaimHint  *hints;
	int			n_hints;
	int			at;
} ClaimCursor;

typedef struct ClaimScan
{
	Store	   *jobs;
	MemoryContext context;		/* of what is read ahead */
	Relation	index;			/* NULL until something is to be read */
	IndexScanDesc scan;
	ScanKeyData keys[2];
	ScanKeyData place[3];		/* members of keys[1], a row comparison */
	Snapshot	snapshot;
	TupleTableSlot *slot;
	TimestampTz now;
	TimestampTz next_due;		/* the first future run_at met, or DT_NOEND */
	int			ahead;
	int			n_cursors;
	ClaimCursor *cursors;
} ClaimScan;

/* choose ------------------------------------------------------------------- */

static void
BeginScan(ClaimScan *scan, Store *jobs, const RouteSet *routes, int most)
{
	scan->jobs = jobs;
	scan->context = CurrentMemoryContext;
	scan->index = NULL;
	scan->snapshot = StoreSnapshot();
	scan->now = ClockNow();
	scan->next_due = DT_NOEND;
	scan->ahead = Max(MIN_AHEAD, Min(most, MAX_AHEAD));
	scan->n_cursors = routes->n;
	scan->cursors = palloc0(sizeof(ClaimCursor) * Max(routes->n, 1));
	for (int i = 0; i < routes->n; i++)
	{
		scan->cursors[i].route_id = routes->ids[i];
		scan->cursors[i].rank = routes->ranks[i];
		scan->cursors[i].after.priority = PG_INT16_MIN;
		scan->cursors[i].after.run_at = DT_NOBEGIN;
		scan->cursors[i].after.job_id = PG_INT64_MIN;
	}
}

static void
OpenIndex(ClaimScan *scan)
{
	if (scan->index != NULL)
		return;
	scan->index = index_open(CatalogRel(REL_JOBS_OPEN), AccessShareLock);
	scan->scan = index_beginscan_compat(scan->jobs->rel, scan->index, scan->snapshot, 2);
	scan->slot = table_slot_create(scan->jobs->rel, NULL);
}

static void
EndScan(ClaimScan *scan)
{
	if (scan->index != NULL)
	{
		index_endscan(scan->scan);
		ExecDropSingleTupleTableSlot(scan->slot);
		index_close(scan->index, AccessShareLock);
	}
	UnregisterSnapshot(scan->snapshot);
}

/*
 * Go on where the last claim of this transaction has stopped, or have the next
 * one go on here: what was passed over is not looked at again.
 */
static void
KeepPlace(ClaimScan *scan, ClaimPlace *place)
{
	if (place->cursors == NULL)
	{
		place->cursors = MemoryContextAlloc(TopTransactionContext, sizeof(ClaimCursor) * Max(scan->n_cursors, 1));
		memcpy(place->cursors, scan->cursors, sizeof(ClaimCursor) * scan->n_cursors);
	}
	scan->cursors = place->cursors;
	scan->context = TopTransactionContext;
}

/* Position the scan behind a cursor's place: route = r AND (p, t, id) > after. */
static void
Seek(ClaimScan *scan, const ClaimCursor *cursor)
{
	ScanKeyInit(&scan->keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(cursor->route_id));
	ScanKeyEntryInitialize(&scan->place[0], SK_ROW_MEMBER, 2, BTGreaterStrategyNumber, INT2OID, InvalidOid,
						   F_BTINT2CMP, Int16GetDatum(cursor->after.priority));
	ScanKeyEntryInitialize(&scan->place[1], SK_ROW_MEMBER, 3, BTGreaterStrategyNumber, TIMESTAMPTZOID, InvalidOid,
						   F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(cursor->after.run_at));
	ScanKeyEntryInitialize(&scan->place[2], SK_ROW_MEMBER | SK_ROW_END, 4, BTGreaterStrategyNumber, INT8OID, InvalidOid,
						   F_BTINT8CMP, Int64GetDatum(cursor->after.job_id));
	memset(&scan->keys[1], 0, sizeof(ScanKeyData));
	scan->keys[1].sk_flags = SK_ROW_HEADER;
	scan->keys[1].sk_attno = 2;
	scan->keys[1].sk_strategy = BTGreaterStrategyNumber;
	scan->keys[1].sk_argument = PointerGetDatum(scan->place);
	index_rescan(scan->scan, scan->keys, 2, NULL, 0);
}

/* Read the next hints of a route. */
static void
ReadAhead(ClaimScan *scan, ClaimCursor *cursor)
{
	TaskqJob	job;

	if (cursor->hints == NULL)
		cursor->hints = MemoryContextAlloc(scan->context, sizeof(ClaimHint) * scan->ahead);
	OpenIndex(scan);
	cursor->started = true;
	cursor->at = cursor->n_hints = 0;
	Seek(scan, cursor);
	while (cursor->n_hints < scan->ahead)
	{
		if (!index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot))
		{
			cursor->finished = true;
			break;
		}
		slot_getallattrs(scan->slot);
		JobRead(&job, scan->slot);
		cursor->after.priority = job.priority;
		cursor->after.run_at = job.run_at;
		cursor->after.job_id = job.job_id;
		if (job.run_at <= scan->now)
		{
			cursor->hints[cursor->n_hints].key = cursor->after;
			cursor->hints[cursor->n_hints].tid = scan->slot->tts_tid;
			cursor->n_hints++;
			continue;
		}
		/* the rest of this priority lies ahead too: on to the next */
		scan->next_due = Min(scan->next_due, job.run_at);
		cursor->after.run_at = DT_NOEND;
		cursor->after.job_id = PG_INT64_MAX;
		Seek(scan, cursor);
	}
	ExecClearTuple(scan->slot);
}

static bool
HasHint(ClaimScan *scan, ClaimCursor *cursor)
{
	if (cursor->at < cursor->n_hints)
		return true;
	if (cursor->finished)
		return false;
	ReadAhead(scan, cursor);
	return cursor->n_hints > 0;
}

static bool
Precedes(const ClaimKey *a, const ClaimKey *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->run_at != b->run_at)
		return a->run_at < b->run_at;
	return a->job_id < b->job_id;
}

/*
 * The cursor with the first hint of all: queues in the order of their ranks,
 * and exact order among all routes of one rank.
 */
static ClaimCursor *
FirstCursor(ClaimScan *scan)
{
	ClaimCursor *first = NULL;

	for (int rank = 0; rank < INT_MAX;)
	{
		int			next_rank = INT_MAX;

		for (int i = 0; i < scan->n_cursors; i++)
		{
			ClaimCursor *cursor = &scan->cursors[i];

			if (cursor->rank > rank)
				next_rank = Min(next_rank, cursor->rank);
			if (cursor->rank != rank || !HasHint(scan, cursor))
				continue;
			if (first == NULL || Precedes(&cursor->hints[cursor->at].key, &first->hints[first->at].key))
				first = cursor;
		}
		if (first != NULL)
			return first;
		rank = next_rank;
	}
	return NULL;
}

/*
 * How many jobs of each of these routes are due, counting to "most" at the
 * most, and when the next one will be.  Locks nothing; how many in all.
 */
int
ClaimCountDue(const RouteSet *routes, int most, int *due, TimestampTz *next_due)
{
	Store		jobs;
	ClaimScan	scan;
	int			all = 0;

	StoreOpen(&jobs, CatalogRel(REL_JOBS));
	BeginScan(&scan, &jobs, routes, most);
	for (int i = 0; i < scan.n_cursors; i++)
	{
		ReadAhead(&scan, &scan.cursors[i]);
		due[i] = scan.cursors[i].n_hints;
		all += due[i];
		pfree(scan.cursors[i].hints);
	}
	EndScan(&scan);
	StoreClose(&jobs, false);
	*next_due = scan.next_due;
	return all;
}

/* lock --------------------------------------------------------------------- */

/*
 * The claim's hold on the type that it decides about.  Taken shared for choose
 * and stamp; see HandlerLockType().
 */
typedef struct TypeHold
{
	char		task_type[TASKQ_NAME_MAX + 1];	/* empty: none is held */
} TypeHold;

static void
ReleaseType(TypeHold *hold)
{
	if (hold->task_type[0] != '\0')
		HandlerUnlockType(hold->task_type);
	hold->task_type[0] = '\0';
}

/* Hold the type of a route; false: it is being changed. */
static bool
HoldType(TypeHold *hold, int32 route_id)
{
	const TaskqRoute *route = RouteById(route_id);
	TaskqRoute	copy;

	if (strcmp(hold->task_type, route->task_type) == 0)
		return true;
	copy = *route;
	ReleaseType(hold);
	if (!HandlerLockType(copy.task_type, false, false))
		return false;
	strlcpy(hold->task_type, copy.task_type, sizeof(hold->task_type));
	return true;
}

/*
 * The decision, with the type held and the row locked: is what the choice went
 * by as it was?  The moment of the start is taken first, so that no job starts
 * after the commit of what would have kept it from starting.
 */
static bool
Decide(const ClaimRequest *request, TaskqJob *job)
{
	WAITPOINT("claim-locked");
	job->started_at = ClockNow();
	AcceptInvalidationMessages();
	return CatalogVersion() == request->catalog_version || MayRun(request->worker, RouteById(job->route_id));
}

/* Nothing more is to be had of this route. */
static void
FinishCursor(ClaimCursor *cursor)
{
	cursor->finished = true;
	cursor->at = cursor->n_hints;
}

static bool
SharesCommits(int32 route_id)
{
	const TaskqHandler *handler = HandlerFind(RouteById(route_id)->task_type);

	return handler != NULL && handler->share_commit;
}

/*
 * Lock the next job that may start; false when there is none.  The job is read
 * from jobs->found.
 */
static bool
LockNext(ClaimScan *scan, const ClaimRequest *request, TypeHold *hold, TaskqJob *job)
{
	ClaimCursor *cursor;

	while ((cursor = FirstCursor(scan)) != NULL)
	{
		ClaimHint	hint = cursor->hints[cursor->at++];

		/* looked at before the lock, so that the job is free for whoever is next */
		if (request->shared_only && !SharesCommits(cursor->route_id))
			return false;
		CHECK_FOR_INTERRUPTS();
		if (!HoldType(hold, cursor->route_id))
		{
			FinishCursor(cursor);
			continue;
		}
		WAITPOINT("claim-chosen");
		if (StoreLock(scan->jobs, &hint.tid, scan->snapshot, false, false) != STORE_LOCKED)
			continue;
		JobRead(job, scan->jobs->found);
		if (job->state != JOB_AVAILABLE && job->state != JOB_RETRYABLE)
			continue;
		switch (Admit(job))
		{
			case ADMITTED:
				if (Decide(request, job))
					return true;
				FinishCursor(cursor);
				break;
			case ADMIT_LATER:
				break;
			case ADMIT_CANCELLED:
				(void) SettleIfCancelled(scan->jobs, job);
				CommandCounterIncrement();
				break;
		}
	}
	return false;
}

/* stamp -------------------------------------------------------------------- */

static void
Stamp(TaskqJob *job, const ClaimRequest *request)
{
	job->epoch = EpochNext();
	job->attempt++;
	job->last_outcome = OUTCOME_NONE;
	job->worker_id = TextOrNull(request->worker_id);
}

/* Claim up to "most" jobs for an external worker; the function gets each. */
int
ClaimStamped(const ClaimRequest *request, int most, ClaimFunction function, void *arg)
{
	OwnerScope	scope;
	Store		jobs;
	ClaimScan	scan;
	TypeHold	hold = {""};
	TaskqJob	job;
	int			permits[MAX_PERMITS];
	int			claimed = 0;

	if (request->routes->n == 0)
		return 0;
	OwnerEnter(&scope);
	StoreOpen(&jobs, CatalogRel(REL_JOBS));
	BeginScan(&scan, &jobs, request->routes, most);
	if (request->max_concurrent_jobs > 0)
		most = PermitsTake(request->worker_id, request->max_concurrent_jobs, Min(most, MAX_PERMITS), permits);
	while (claimed < most && LockNext(&scan, request, &hold, &job))
	{
		Stamp(&job, request);
		job.permit = request->max_concurrent_jobs > 0 ? permits[claimed] : 0;
		job.lease_expires_at = job.started_at + LeaseLength(&job, request->lease, request->worker_lease);
		JobTransition(&jobs, &job, JOB_RUNNING, NULL);
		CommandCounterIncrement();
		WakeSchedulerAt(job.lease_expires_at);
		WakeClaimed();
		function(&job, arg);
		claimed++;
	}
	for (int i = claimed; i < most && request->max_concurrent_jobs > 0; i++)
		PermitReturn(request->worker_id, permits[i]);
	if (claimed > 0)
		EpochKeep();
	ReleaseType(&hold);
	EndScan(&scan);
	StoreClose(&jobs, claimed > 0);
	OwnerLeave(&scope);
	return claimed;
}

/*
 * Claim one job to run and settle in this transaction.  When true, the table
 * stays open and jobs->found is the locked row.  With the place of a claim of
 * this transaction for the same routes, the next one in its order.
 */
bool
ClaimToRun(const ClaimRequest *request, ClaimPlace *place, Store *jobs, TaskqJob *job)
{
	OwnerScope	scope;
	ClaimScan	scan;
	TypeHold	hold = {""};
	bool		found;

	if (request->routes->n == 0)
		return false;
	OwnerEnter(&scope);
	StoreOpen(jobs, CatalogRel(REL_JOBS));
	BeginScan(&scan, jobs, request->routes, 1);
	if (place != NULL)
		KeepPlace(&scan, place);
	found = LockNext(&scan, request, &hold, job);
	if (found)
	{
		Stamp(job, request);
		job->state = JOB_RUNNING;
	}
	ReleaseType(&hold);
	EndScan(&scan);
	if (!found)
		StoreClose(jobs, false);
	OwnerLeave(&scope);
	return found;
}

/*
 * Claim one certain job to run and settle in this transaction, due or not.
 * False: it is not waiting, or not for this worker.
 */
bool
ClaimByIdToRun(const ClaimRequest *request, int64 job_id, Store *jobs, TaskqJob *job)
{
	OwnerScope	scope;
	TypeHold	hold = {""};
	Snapshot	snapshot;
	bool		found;

	OwnerEnter(&scope);
	snapshot = StoreSnapshot();
	StoreOpen(jobs, CatalogRel(REL_JOBS));
	found = StoreFindById(jobs, CatalogRel(REL_JOBS_PKEY), job_id, snapshot);
	if (found)
	{
		ItemPointerData tid = jobs->found->tts_tid;

		JobRead(job, jobs->found);
		found = MayRun(request->worker, RouteById(job->route_id)) &&
			HoldType(&hold, job->route_id) &&
			StoreLock(jobs, &tid, snapshot, false, false) == STORE_LOCKED;
	}
	if (found)
	{
		JobRead(job, jobs->found);
		found = (job->state == JOB_AVAILABLE || job->state == JOB_RETRYABLE) &&
			Admit(job) == ADMITTED && Decide(request, job);
	}
	if (found)
	{
		Stamp(job, request);
		job->state = JOB_RUNNING;
	}
	else
		StoreClose(jobs, false);
	ReleaseType(&hold);
	UnregisterSnapshot(snapshot);
	OwnerLeave(&scope);
	return found;
}
