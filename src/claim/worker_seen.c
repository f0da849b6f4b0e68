/*
 * worker_seen.c
 *	  Noting that external workers were seen: by claims, by heartbeats, and by calls
 *	  about their jobs.
 */
#include "taskq.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "claim/external_worker.h"
#include "claim/external_worker_row.h"
#include "claim/standing.h"
#include "job/fence.h"
#include "shared/locks.h"
#include "store/owner.h"
#include "store/store.h"

#define TOUCH_EVERY (10 * USECS_PER_SEC)
#define MAX_IMPLICIT_TYPES 10000

/* Return the moment from which last_seen is to be written again. */
static TimestampTz
TouchDue(Store *store, int64 every)
{
	return DatumGetTimestampTz(SlotDatum(store->found, Anum_external_workers_last_seen)) + Min(every, WorkerLife(WorkerLeaseOf(store->found)) / 4);
}

/* Did this transaction write the row?  It may still be rolled back. */
static bool
IsRowOurs(Store *store)
{
	bool  isnull;
	Datum xmin = slot_getsysattr(store->found, MinTransactionIdAttributeNumber, &isnull);

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/*
 * Note that a worker was seen.  This must be cheap and must not wait.  So do
 * nothing if it was noted recently, or if another transaction of the worker has
 * locked the row.
 */
static void
Touch(Store *store, TimestampTz now, int64 every)
{
	ItemPointerData tid = store->found->tts_tid;
	Snapshot		snapshot;

	if (TouchDue(store, every) > now)
		return;
	snapshot = StoreSnapshot();
	if (StoreLock(store, &tid, snapshot, false, false) == STORE_LOCKED)
	{
		TupleTableSlot *row = StoreCopyRow(store);

		SlotSet(row, Anum_external_workers_last_seen, TimestampTzGetDatum(now));
		StoreUpdate(store);
	}
	UnregisterSnapshot(snapshot);
}

/* Return the names that are in at least one of the two lists. */
static ArrayType *
UnionOf(ArrayType *a, ArrayType *b)
{
	int	   n_a;
	int	   n_b;
	char **names_a = NamesToStrings(a, &n_a, "task_types");
	char **names_b = NamesToStrings(b, &n_b, "task_types");
	char **all = palloc(sizeof(char *) * (n_a + n_b + 1));
	int	   n = 0;

	for (int i = 0; i < n_b; i++)
		all[n++] = names_b[i];
	for (int i = 0; i < n_a && n < MAX_IMPLICIT_TYPES; i++)
		if (!NamesContain(b, names_a[i]))
			all[n++] = names_a[i];
	return StringsToNames(all, n);
}

/*
 * Does an implicit registration lack task types that this call names?  If so,
 * return the types that the row must have.
 */
static bool
MustCover(Store *store, const ExternalWorker *worker, ArrayType **types)
{
	if (worker->standing == WORKER_REGISTERED || !DatumGetBool(SlotDatum(store->found, Anum_external_workers_implicit)) ||
		SlotIsNull(store->found, Anum_external_workers_task_types))
		return false;
	*types = DatumGetArrayTypeP(SlotDatum(store->found, Anum_external_workers_task_types));
	if (worker->base.task_types != NULL && NamesCover(*types, worker->base.task_types))
		return false;
	*types = worker->base.task_types == NULL ? NULL : UnionOf(*types, worker->base.task_types);
	return true;
}

static void
WriteTypes(Store *store, const WorkerName *name, ArrayType *types, TimestampTz now)
{
	ItemPointerData tid = store->found->tts_tid;
	Snapshot		snapshot = StoreSnapshot();

	/* if another transaction has locked the row, a later call writes the types */
	if (StoreLock(store, &tid, snapshot, false, false) == STORE_LOCKED)
	{
		TupleTableSlot *row = StoreCopyRow(store);

		if (types == NULL)
			SlotSetNull(row, Anum_external_workers_task_types);
		else
			SlotSetPointer(row, Anum_external_workers_task_types, types);
		SlotSet(row, Anum_external_workers_last_seen, TimestampTzGetDatum(now));
		StoreUpdate(store);
		RegistrationChanged(name);
	}
	UnregisterSnapshot(snapshot);
}

/* Note a claim in the worker's row.  Returns when to write the row again. */
static TimestampTz
NoteClaim(Store *store, const WorkerName *name, const ExternalWorker *worker, TimestampTz now)
{
	TimestampTz due = 0;
	ArrayType  *types;

	if (!SlotIsNull(store->found, Anum_external_workers_ended_at))
		return 0;
	if (MustCover(store, worker, &types))
	{
		WriteTypes(store, name, types, now);
		return 0;
	}
	if (!IsRowOurs(store))
		due = TouchDue(store, TOUCH_EVERY);
	Touch(store, now, TOUCH_EVERY);
	return due;
}

/*
 * Refuse a claim under an id that another role has registered.  The claim could not
 * see that registration before, because it was made after the claim began or is not
 * committed yet.
 */
static void
RefuseIfOthers(Store *store, const WorkerName *name, Oid caller)
{
	Oid registered_by = DatumGetObjectId(SlotDatum(store->found, Anum_external_workers_registered_by));

	if (!SlotIsNull(store->found, Anum_external_workers_ended_at) || WorkerIsOf(registered_by, caller, ACCESS_OPERATOR))
		return;
	StandingRefuseOthers(name, registered_by);
}

/*
 * An open transaction has registered the id by its first claim.  Refuse another
 * role's claim, whether that transaction commits or not.
 */
static void
CheckFirstClaim(Store *store, const WorkerName *name, Oid caller)
{
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	if (WorkerFindRowAsOf(store, name, &dirty))
		RefuseIfOthers(store, name, caller);
}

/*
 * Register an instance by its first claim, unless an open transaction has done so.
 * LOCK_FIRST_ROW is that of the worker's id, and is held for a moment only.  It makes
 * sure that the transaction which holds LOCK_FIRST_CLAIM has also written the row, and
 * that two roles do not register instances of one worker at the same time.
 */
static void
RegisterByClaim(Store *store, const WorkerName *name, const ExternalWorker *worker, bool has_jobs, Oid caller,
				TimestampTz now)
{
	WorkerHoldId(name);
	if (LockKey(LOCK_FIRST_CLAIM, name->key, true, false))
	{
		bool has_row;
		Oid	 other = WorkerIdOfOthers(store, name, caller, ACCESS_OPERATOR, &has_row);

		if (OidIsValid(other))
			StandingRefuseOthers(name, other);
		if (!has_row)
			WorkerInsertRow(store, name, worker, true, caller, now, now);
	}
	else if (has_jobs)
		CheckFirstClaim(store, name, caller);
	WorkerReleaseId(name);
}

/*
 * Note a claim of a worker, and register the worker if it is unknown.  Returns the
 * moment from which a later claim must be noted, or 0 if every claim must be.
 */
TimestampTz
WorkerHasClaimed(const WorkerName *name, const ExternalWorker *worker, bool has_jobs)
{
	OwnerScope	scope;
	Store		store;
	TimestampTz now = ClockNow();
	TimestampTz due = 0;

	OwnerEnter(&scope);
	StoreOpenRel(&store, REL_WORKERS);
	if (WorkerFindRow(&store, name))
	{
		RefuseIfOthers(&store, name, scope.caller);
		due = NoteClaim(&store, name, worker, now);
	}
	else if (worker->standing != WORKER_REGISTERED)
		RegisterByClaim(&store, name, worker, has_jobs, scope.caller, now);
	StoreClose(&store, true);
	OwnerLeave(&scope);
	return due;
}

/*
 * Note a heartbeat.  The answer to it contains the epochs of the worker's jobs, so
 * check first, before any row is locked, that the caller may act for the worker.
 * Returns the role that registered the worker.
 */
Oid
WorkerBeat(const WorkerName *name)
{
	OwnerScope scope;
	Store	   store;
	Oid		   caller = GetUserId();
	Oid		   registered_by;

	OwnerEnter(&scope);
	StoreOpenRel(&store, REL_WORKERS);
	if (!WorkerFindRow(&store, name) || !SlotIsNull(store.found, Anum_external_workers_ended_at))
		StandingRefuseUnknown(name);
	registered_by = DatumGetObjectId(SlotDatum(store.found, Anum_external_workers_registered_by));
	WorkerCheckOwner(name, registered_by, caller, "send heartbeats for", ACCESS_OPERATOR);
	Touch(&store, ClockNow(), 0);
	StoreClose(&store, true);
	OwnerLeave(&scope);
	return registered_by;
}

/*
 * Note a call about a job of a worker.  Returns the worker's own lease, or
 * NO_MICROSECONDS.  If the claim belongs to another role than the registration, the id
 * has passed to that role since, and its registration says nothing about this claim.  The
 * current user is the owner.
 */
int64
WorkerSeen(const TaskqJob *job)
{
	Store	   store;
	WorkerName name;
	int64	   lease = NO_MICROSECONDS;

	AssertOwner();
	if (job->worker_id == NULL || job->instance_id == NULL)
		return NO_MICROSECONDS;
	name = WorkerNameOf(text_to_cstring((text *) job->worker_id), text_to_cstring((text *) job->instance_id));
	StoreOpenRel(&store, REL_WORKERS);
	if (WorkerFindRow(&store, &name) &&
		SlotIsNull(store.found, Anum_external_workers_ended_at) &&
		ClaimIsOf(job, DatumGetObjectId(SlotDatum(store.found, Anum_external_workers_registered_by))))
	{
		lease = WorkerLeaseOf(store.found);
		Touch(&store, ClockNow(), TOUCH_EVERY);
	}
	StoreClose(&store, true);
	return lease;
}
