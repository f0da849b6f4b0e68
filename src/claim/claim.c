/*
 * claim.c
 *	  Taking jobs: choose, lock, stamp.  Nothing else may start a job.
 *
 * Choose.  The worker's routes are compared by their first due jobs, and the
 * first of all is tried.  The ready list knows them (ready.c).  Where there is
 * none for a route, a cursor reads the index, a few hints ahead.  Within a
 * priority jobs are in the order of run_at, so the first future one ends it and
 * the cursor seeks the next priority: future jobs are never walked, nor are jobs
 * of foreign routes.
 *
 * Lock.  A hint's row is locked if nobody has it, and passed over otherwise; a
 * row that has changed since is passed over too.  At most as many rows are
 * locked as are wanted, whatever a plan would be: there is none.
 *
 * Stamp.  For an external worker the row becomes a running one with owner,
 * epoch and lease.  For a background worker the row lock is the claim: the job
 * runs and is settled in the same transaction, and only memory is stamped.
 */
#include "taskq.h"

#include <limits.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/injection_point.h"
#include "base/text.h"
#include "claim/claim.h"
#include "claim/lease.h"
#include "claim/register.h"
#include "claim/scan.h"
#include "config/handler.h"
#include "config/pause.h"
#include "job/admit.h"
#include "job/settle.h"
#include "ready/ready.h"
#include "shared/locks.h"
#include "shared/wake.h"
#include "store/owner.h"

#define MIN_AHEAD 8
#define MAX_AHEAD 512
#define MAX_IN_VAIN 100 /* looks at a list that give nothing; then the index is read */
#define MAX_PERMITS 200 /* a call takes at most: each is a lock until it commits */

typedef struct ClaimCursor
{
	int32	  route_id;
	int		  rank;
	bool	  reads;	 /* the index; else its hints are of the ready list */
	bool	  finished;	 /* nothing behind the hints */
	bool	  must_fill; /* the list knows only where to read on */
	int		  in_vain;
	JobKey	  after; /* read on behind this place */
	ScanHint *hints;
	int		  n_hints;
	int		  at;
} ClaimCursor;

typedef struct ClaimScan
{
	Store		 *jobs;
	JobScan		  scan;
	MemoryContext context; /* of the hints */
	TimestampTz	  now;
	TimestampTz	  next_due; /* the first future run_at met, or DT_NOEND */
	int			  wanted;	/* jobs */
	int			  ahead;
	int			  n_cursors;
	ClaimCursor	 *cursors;
	ClaimCursor	 *taken; /* the one whose hints were taken from the list */
} ClaimScan;

/* choose ------------------------------------------------------------------- */

/* Among jobs of its own that nobody else can see yet, a transaction reads itself. */
static bool
MustRead(int32 route_id, bool sees_own)
{
	return !ReadyInUse() || (sees_own && ReadyOpenedHere(route_id));
}

static void
BeginScan(ClaimScan *scan, Store *jobs, const RouteSet *routes, int most, bool sees_own)
{
	memset(scan, 0, sizeof(*scan));
	scan->jobs = jobs;
	ScanBegin(&scan->scan, jobs->rel, 0);
	scan->context = CurrentMemoryContext;
	scan->now = ClockNow();
	scan->next_due = DT_NOEND;
	scan->wanted = most;
	scan->ahead = Max(MIN_AHEAD, Min(most, MAX_AHEAD));
	scan->n_cursors = routes->n;
	scan->cursors = palloc0(sizeof(ClaimCursor) * Max(routes->n, 1));
	for (int i = 0; i < routes->n; i++)
	{
		ClaimCursor *cursor = &scan->cursors[i];

		cursor->route_id = routes->ids[i];
		cursor->rank = routes->ranks[i];
		cursor->reads = MustRead(cursor->route_id, sees_own);
		cursor->after = JOB_KEY_BEGIN;
	}
}

static ReadyKey
PlaceOf(const ScanHint *hint)
{
	return (ReadyKey){ hint->key.run_at, hint->key.job_id };
}

/* Let go of what was read or taken in vain. */
static void
EndScan(ClaimScan *scan)
{
	ClaimCursor *taken = scan->taken;

	while (taken != NULL && taken->at < taken->n_hints)
		ReadyPutBack(PlaceOf(&taken->hints[taken->at++]));
	ScanEnd(&scan->scan);
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

static void
MakeHints(ClaimScan *scan, ClaimCursor *cursor)
{
	if (cursor->hints == NULL)
		cursor->hints = MemoryContextAlloc(scan->context, sizeof(ScanHint) * scan->ahead);
	cursor->at = cursor->n_hints = 0;
}

/* Read the next hints of a route. */
static void
ReadAhead(ClaimScan *scan, ClaimCursor *cursor)
{
	ScanHint hint;

	MakeHints(scan, cursor);
	ScanRoute(&scan->scan, cursor->route_id, &cursor->after);
	while (cursor->n_hints < scan->ahead)
	{
		if (!ScanNext(&scan->scan, &hint))
		{
			cursor->finished = true;
			break;
		}
		cursor->after = hint.key;
		if (hint.key.run_at <= scan->now)
		{
			cursor->hints[cursor->n_hints++] = hint;
			continue;
		}
		/* the rest of this priority lies ahead too: on to the next */
		scan->next_due = Min(scan->next_due, hint.key.run_at);
		cursor->after.run_at = DT_NOEND;
		cursor->after.job_id = PG_INT64_MAX;
		ScanRoute(&scan->scan, cursor->route_id, &cursor->after);
	}
	ScanRest(&scan->scan);
}

/* Ask the ready list where a route's first job is; false: none is due. */
static bool
AskList(ClaimScan *scan, ClaimCursor *cursor, JobKey *key)
{
	const ReadyKey begin = READY_BEGIN;
	ReadyKey	   place = READY_END;
	ReadyLook	   look = ReadyPeek(cursor->route_id, scan->now, &key->priority, &place);

	if (look == READY_UNKNOWN)
	{
		ScanLearn(&scan->scan, cursor->route_id);
		look = ReadyPeek(cursor->route_id, scan->now, &key->priority, &place);
	}

	/* not read yet: at once, or each of many routes would be asked anew for each other */
	while (look == READY_FILL && ReadyCompare(&place, &begin) == 0 &&
		   ScanFill(&scan->scan, cursor->route_id, key->priority, scan->now, &begin, 0, NULL) == 0)
		look = ReadyPeek(cursor->route_id, scan->now, &key->priority, &place);
	if (look == READY_UNKNOWN || look == READY_UNLISTED)
		cursor->reads = true;
	cursor->must_fill = look == READY_FILL;
	key->run_at = place.run_at;
	key->job_id = place.job_id;
	return look == READY_HINT || look == READY_FILL;
}

/* Where is, or may be, the first due job of a route?  False: nowhere. */
static bool
FindHead(ClaimScan *scan, ClaimCursor *cursor, JobKey *key)
{
	if (cursor->finished && cursor->at == cursor->n_hints)
		return false;
	if (!cursor->reads && AskList(scan, cursor, key))
		return true;
	if (!cursor->reads)
		return false;
	if (cursor->at == cursor->n_hints)
		ReadAhead(scan, cursor);
	if (cursor->at == cursor->n_hints)
		return false;
	*key = cursor->hints[cursor->at].key;
	return true;
}

static bool
Precedes(const JobKey *a, const JobKey *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->run_at != b->run_at)
		return a->run_at < b->run_at;
	return a->job_id < b->job_id;
}

/*
 * The cursor with the first job of all, where that is, and the place of the
 * second: queues in the order of their ranks, and exact order among all routes
 * of one rank.
 */
static ClaimCursor *
Choose(ClaimScan *scan, JobKey *key, JobKey *second)
{
	ClaimCursor *first = NULL;

	for (int rank = 0; rank < INT_MAX && first == NULL;)
	{
		int next_rank = INT_MAX;

		*second = JOB_KEY_END;
		for (int i = 0; i < scan->n_cursors; i++)
		{
			ClaimCursor *cursor = &scan->cursors[i];
			JobKey		 head;

			if (cursor->rank > rank)
				next_rank = Min(next_rank, cursor->rank);
			if (cursor->rank != rank || !FindHead(scan, cursor, &head))
				continue;
			if (first == NULL || Precedes(&head, key))
			{
				if (first != NULL)
					*second = *key;
				*key = head;
				first = cursor;
			}
			else if (Precedes(&head, second))
				*second = head;
		}
		rank = next_rank;
	}
	return first;
}

/* Take hints from the list, as many as are wanted before the second route's turn. */
static void
TakeHints(ClaimScan *scan, ClaimCursor *cursor, const JobKey *key, const JobKey *second)
{
	ReadyHint hints[MAX_AHEAD];
	ReadyKey  bound = READY_END;
	int		  most = Max(Min(scan->wanted, scan->ahead), 1);
	bool	  low = false;
	int		  n;

	scan->taken = NULL;
	if (second->priority == key->priority)
		bound = (ReadyKey){ second->run_at, second->job_id };
	MakeHints(scan, cursor);
	if (cursor->must_fill)
		n = ScanFill(&scan->scan, cursor->route_id, key->priority, scan->now, &bound, most, hints);
	else
	{
		ReadyReserve(most);
		n = ReadyTake(cursor->route_id, key->priority, scan->now, &bound, most, hints, &low);
		ReadyHeld(cursor->route_id, key->priority, hints, n);
	}
	if (n == 0 && ++cursor->in_vain == MAX_IN_VAIN)
		cursor->reads = true;
	if (n < 0)
	{
		/* somebody is filling it: read for oneself, from there on */
		cursor->reads = true;
		cursor->after = *key;
		if (key->job_id > PG_INT64_MIN)
			cursor->after.job_id--;
		return;
	}
	for (int i = 0; i < n; i++)
	{
		cursor->hints[i].key = (JobKey){ key->priority, hints[i].key.run_at, hints[i].key.job_id };
		cursor->hints[i].tid = hints[i].tid;
	}
	cursor->n_hints = n;
	scan->taken = cursor;
	if (low)
		(void) ScanFill(&scan->scan, cursor->route_id, key->priority, scan->now, &bound, 0, NULL);
}

/* The cursor with the first hint of all. */
static ClaimCursor *
FirstCursor(ClaimScan *scan)
{
	for (;;)
	{
		JobKey		 key;
		JobKey		 second;
		ClaimCursor *first;

		if (scan->taken != NULL && scan->taken->at < scan->taken->n_hints)
			return scan->taken;
		first = Choose(scan, &key, &second);
		if (first == NULL || first->reads)
			return first;
		CHECK_FOR_INTERRUPTS();
		TakeHints(scan, first, &key, &second);
	}
}

/* Count a route's due jobs as far as the list knows them; false: it does not know all. */
static bool
CountListed(ClaimScan *scan, int32 route_id, int most, int *due)
{
	ReadyLaneInfo lanes[READY_MAX_LANES];
	int			  n = ReadyInUse() ? ReadyLanes(route_id, scan->now, lanes) : -1;
	ScanHint	  hint;

	*due = 0;
	for (int i = 0; i < n && *due < most; i++)
	{
		ReadyLaneInfo *lane = &lanes[i];

		*due = Min(*due + lane->n_due, most);
		if (lane->next.run_at > scan->now)
		{
			scan->next_due = Min(scan->next_due, lane->next.run_at);
			continue;
		}
		ScanLane(&scan->scan, route_id, lane->priority, &lane->next);
		while (*due < most && ScanNext(&scan->scan, &hint))
		{
			if (hint.key.run_at > scan->now)
			{
				scan->next_due = Min(scan->next_due, hint.key.run_at);
				break;
			}
			(*due)++;
		}
	}
	ScanRest(&scan->scan);
	return n >= 0;
}

/*
 * How many jobs of each of these routes are due, counting to "most" at the
 * most, and when the next one will be.  Locks nothing; how many in all.
 */
int
ClaimCountDue(const RouteSet *routes, int most, int *due, TimestampTz *next_due)
{
	Store	  jobs;
	ClaimScan scan;
	int		  all = 0;

	StoreOpenRel(&jobs, REL_JOBS);
	BeginScan(&scan, &jobs, routes, most, false);
	for (int i = 0; i < scan.n_cursors; i++)
	{
		ClaimCursor *cursor = &scan.cursors[i];

		if (!CountListed(&scan, cursor->route_id, most, &due[i]))
		{
			ReadAhead(&scan, cursor);
			due[i] = cursor->n_hints;
			pfree(cursor->hints);
		}
		all += due[i];
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
	char task_type[TASKQ_NAME_MAX + 1]; /* empty: none is held */
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
	TaskqRoute		  copy;

	if (strcmp(hold->task_type, route->task_type) == 0)
		return true;
	copy = *route;
	ReleaseType(hold);
	if (!HandlerLockType(copy.task_type, false, false))
		return false;
	strlcpy(hold->task_type, copy.task_type, sizeof(hold->task_type));
	return true;
}

/* Of a type on trial one job at a time may run. */
static bool
HoldTrial(int32 route_id)
{
	const TaskqHandler *handler = HandlerFind(RouteById(route_id)->task_type);

	return handler == NULL || !handler->on_trial || TrialTake(handler->task_type);
}

/*
 * The decision, with the type held and the row locked: is what the choice went
 * by as it was?  The moment of the start is taken first, so that no job starts
 * after the commit of what would have kept it from starting.
 */
static bool
Decide(const ClaimRequest *request, TaskqJob *job)
{
	TASKQ_INJECTION_POINT("claim-locked");
	job->started_at = ClockNow();
	AcceptInvalidationMessages();
	return CatalogVersion() == request->catalog_version || MayRun(request->worker, RouteById(job->route_id));
}

/* Nothing more is to be had of this route. */
static void
FinishCursor(ClaimCursor *cursor)
{
	for (int i = cursor->at; i < cursor->n_hints && !cursor->reads; i++)
		ReadyPutBack(PlaceOf(&cursor->hints[i]));
	cursor->finished = true;
	cursor->at = cursor->n_hints;
}

static bool
SharesCommits(int32 route_id)
{
	const TaskqHandler *handler = HandlerFind(RouteById(route_id)->task_type);

	return handler != NULL && handler->share_commit;
}

/* Does the row found wait where the hint says?  Else whoever moved it has said so. */
static bool
IsAsHinted(TupleTableSlot *row, int32 route_id, const ScanHint *hint)
{
	JobKey key;

	JobReadKey(&key, row);
	return JobIsOpen(row) && key.job_id == hint->key.job_id && key.run_at == hint->key.run_at &&
		   key.priority == hint->key.priority && JobRouteOfRow(row) == route_id;
}

/*
 * Find the row that a hint is at.  No snapshot may be left that keeps the place
 * from being another row's, or nobody's, and to lock such a one is to write where
 * there is no row.  A row of the list may have been moved.
 */
static bool
FindHinted(ClaimScan *scan, const ClaimCursor *cursor, const ScanHint *hint, ItemPointer tid)
{
	Store *jobs = scan->jobs;

	*tid = hint->tid;
	if (StoreFetch(jobs, tid, SnapshotSelf) && IsAsHinted(jobs->found, cursor->route_id, hint))
		return true;
	if (cursor->reads ||
		!StoreFindById(jobs, CatalogRel(REL_JOBS_PKEY), hint->key.job_id, ScanRefresh(&scan->scan)))
		return false;
	*tid = jobs->found->tts_tid;
	return IsAsHinted(jobs->found, cursor->route_id, hint);
}

/*
 * Lock the row of a hint.  One from the list that leads to nothing is dropped,
 * as is one whose row somebody else has: who will put it back.
 */
static bool
LockHint(ClaimScan *scan, const ClaimCursor *cursor, const ScanHint *hint, TaskqJob *job)
{
	ItemPointerData tid;
	bool			found = FindHinted(scan, cursor, hint, &tid);

	if (cursor->reads)
		return found && JobLock(scan->jobs, &tid, false, job) == STORE_LOCKED &&
			   IsAsHinted(scan->jobs->found, cursor->route_id, hint);
	if (found && StoreLock(scan->jobs, &tid, SnapshotSelf, false, false) == STORE_LOCKED &&
		IsAsHinted(scan->jobs->found, cursor->route_id, hint))
	{
		JobRead(job, scan->jobs->found);
		return true;
	}
	ReadyDrop(PlaceOf(hint));
	return false;
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
		const ScanHint *hint = &cursor->hints[cursor->at];

		/* looked at before the lock, so that the job is free for whoever is next */
		if (request->shared_only && !SharesCommits(cursor->route_id))
			return false;
		CHECK_FOR_INTERRUPTS();
		if (!HoldType(hold, cursor->route_id) || !HoldTrial(cursor->route_id))
		{
			FinishCursor(cursor);
			continue;
		}
		cursor->at++;
		TASKQ_INJECTION_POINT("claim-chosen");
		if (!LockHint(scan, cursor, hint, job))
			continue;
		switch (Admit(job))
		{
			case ADMITTED:
				if (Decide(request, job))
				{
					scan->wanted--;
					return true;
				}
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

/*
 * Take permits for up to "most" jobs, if the worker has a limit; for how many
 * jobs that is.
 */
static int
TakePermits(ClaimRequest *request, int most, int *permits)
{
	request->at_limit = false;
	if (request->max_concurrent_jobs == 0)
		return most;
	most = PermitsTake(request->worker_id, request->max_concurrent_jobs, Min(most, MAX_PERMITS), permits);
	request->at_limit = most == 0;
	if (most > 0)
		WakePermitHeld(NameKey(request->worker_id));
	return most;
}

/* Claim up to "most" jobs for an external worker; the function gets each. */
int
ClaimStamped(ClaimRequest *request, int most, ClaimFunction function, void *arg)
{
	OwnerScope scope;
	Store	   jobs;
	ClaimScan  scan;
	TypeHold   hold = { "" };
	TaskqJob   job;
	int		   permits[MAX_PERMITS];
	int		   claimed = 0;

	request->at_limit = false;
	if (request->routes->n == 0)
		return 0;
	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	BeginScan(&scan, &jobs, request->routes, most, true);
	scan.wanted = most = TakePermits(request, most, permits);
	while (claimed < most && LockNext(&scan, request, &hold, &job))
	{
		Stamp(&job, request);
		job.permit = request->max_concurrent_jobs > 0 ? permits[claimed] : 0;
		job.lease_expires_at = job.started_at + LeaseLength(&job, request->lease, request->worker_lease);
		JobTransition(&jobs, &job, JOB_RUNNING, NULL);
		CommandCounterIncrement();
		WakeLeaseAt(job.lease_expires_at);
		WakeClaimed(job.route_id);
		function(&job, arg);
		claimed++;
	}
	if (request->max_concurrent_jobs > 0)
		PermitsReturn(request->worker_id, permits + claimed, most - claimed);
	if (claimed > 0)
		EpochKeep();
	ReleaseType(&hold);
	EndScan(&scan);
	StoreClose(&jobs, claimed > 0);
	OwnerLeave(&scope);
	return claimed;
}

/* All that a claim of one job does, short of the stamp; is there one? */
static bool
LockForLook(ClaimRequest *request)
{
	OwnerScope scope;
	Store	   jobs;
	ClaimScan  scan;
	TypeHold   hold = { "" };
	TaskqJob   job;
	int		   permit;
	bool	   found;

	if (!WorkerHold(request->worker_id))
		return false;
	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	BeginScan(&scan, &jobs, request->routes, 1, true);
	found = TakePermits(request, 1, &permit) > 0 && LockNext(&scan, request, &hold, &job);

	/* whoever passes over it now is woken when it is let go */
	if (found)
		WakeClaimed(job.route_id);
	ReleaseType(&hold);
	EndScan(&scan);
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	return found;
}

/*
 * Could the worker claim a job now?  That there is a due one does not say so:
 * others may have it, or the worker all that it may have.  So one is locked, in
 * a subtransaction that is rolled back.
 */
bool
ClaimCould(ClaimRequest *request)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool found = false;

	request->at_limit = false;
	if (request->routes->n == 0)
		return false;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		found = LockForLook(request);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return found;
}

/*
 * Claim one job to run and settle in this transaction.  When true, the table
 * stays open and jobs->found is the locked row.  With the place of a claim of
 * this transaction for the same routes, the next one in its order.
 */
bool
ClaimToRun(const ClaimRequest *request, ClaimPlace *place, Store *jobs, TaskqJob *job)
{
	OwnerScope scope;
	ClaimScan  scan;
	TypeHold   hold = { "" };
	bool	   found;

	if (request->routes->n == 0)
		return false;
	OwnerEnter(&scope);
	StoreOpenRel(jobs, REL_JOBS);
	BeginScan(&scan, jobs, request->routes, 1, place == NULL);
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
	OwnerScope scope;
	TypeHold   hold = { "" };
	Snapshot   snapshot;
	bool	   found;

	OwnerEnter(&scope);
	snapshot = StoreSnapshot();
	StoreOpenRel(jobs, REL_JOBS);
	found = StoreFindById(jobs, CatalogRel(REL_JOBS_PKEY), job_id, snapshot);
	if (found)
	{
		ItemPointerData tid = jobs->found->tts_tid;

		JobRead(job, jobs->found);
		found = MayRun(request->worker, RouteById(job->route_id)) &&
				HoldType(&hold, job->route_id) &&
				HoldTrial(job->route_id) &&
				JobLock(jobs, &tid, false, job) == STORE_LOCKED;
	}
	if (found)
		found = JobIsOpen(jobs->found) && Admit(job) == ADMITTED && Decide(request, job);
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
