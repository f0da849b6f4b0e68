/*
 * worker_seen.c
 *	  That external workers were seen: by their claims, by heartbeats and by calls
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
#include "shared/locks.h"
#include "store/owner.h"
#include "store/store.h"

#define TOUCH_EVERY (10 * USECS_PER_SEC)
#define MAX_IMPLICIT_TYPES 10000

/* When a worker was seen long enough ago to note that it is seen again. */
static TimestampTz
TouchDue(Store *store, int64 every)
{
	return DatumGetTimestampTz(SlotDatum(store->found, Anum_external_workers_last_seen)) + Min(every, WorkerLife(WorkerLeaseOf(store->found)) / 6);
}

/* Was the row written by this transaction, which may yet be rolled back? */
static bool
IsRowOurs(Store *store)
{
	bool  isnull;
	Datum xmin = slot_getsysattr(store->found, MinTransactionIdAttributeNumber, &isnull);

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/*
 * Note that a worker was seen.  Not at each call, and not when another of its
 * transactions has the row: this must neither cost nor wait.
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

/* All that either list has. */
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
 * Have the row of an implicit registration say what this call names, too, if it
 * does not; true: it is to be written.
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
WriteTypes(Store *store, const char *worker_id, ArrayType *types, TimestampTz now)
{
	ItemPointerData tid = store->found->tts_tid;
	Snapshot		snapshot = StoreSnapshot();

	/* if somebody else has the row, a later call does it */
	if (StoreLock(store, &tid, snapshot, false, false) == STORE_LOCKED)
	{
		TupleTableSlot *row = StoreCopyRow(store);

		if (types == NULL)
			SlotSetNull(row, Anum_external_workers_task_types);
		else
			SlotSetPointer(row, Anum_external_workers_task_types, types);
		SlotSet(row, Anum_external_workers_last_seen, TimestampTzGetDatum(now));
		StoreUpdate(store);
		RegistrationChanged(worker_id);
	}
	UnregisterSnapshot(snapshot);
}

/* The row of a worker that has claimed is there: when is it to be written again? */
static TimestampTz
NoteClaim(Store *store, const char *worker_id, const ExternalWorker *worker, TimestampTz now)
{
	TimestampTz due = 0;
	ArrayType  *types;

	if (!SlotIsNull(store->found, Anum_external_workers_ended_at))
		return 0;
	if (MustCover(store, worker, &types))
	{
		WriteTypes(store, worker_id, types, now);
		return 0;
	}
	if (!IsRowOurs(store))
		due = TouchDue(store, TOUCH_EVERY);
	Touch(store, now, TOUCH_EVERY);
	return due;
}

/*
 * Refuse a claim under an id that another role has registered.  The claim could
 * not know of that registration, because it was made meanwhile or is not committed.
 */
static void
RefuseIfOthers(Store *store, const char *worker_id, Oid caller)
{
	Oid registered_by = DatumGetObjectId(SlotDatum(store->found, Anum_external_workers_registered_by));

	if (!SlotIsNull(store->found, Anum_external_workers_ended_at) || WorkerIsOf(registered_by, caller, "operator"))
		return;
	StandingRefuseOthers(worker_id, registered_by);
}

/*
 * An open transaction has registered the id by its first claim.  Refuse another
 * role's claim, whether that transaction commits or not.
 */
static void
CheckFirstClaim(Store *store, const char *worker_id, Oid caller)
{
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	if (WorkerFindRowAsOf(store, worker_id, &dirty))
		RefuseIfOthers(store, worker_id, caller);
}

/*
 * Register a worker by its first claim, unless an open transaction has done so.
 * LOCK_FIRST_ROW is held for a moment only.  It makes sure that the transaction
 * which holds LOCK_FIRST_CLAIM has also written the row.
 */
static void
RegisterByClaim(Store *store, const char *worker_id, const ExternalWorker *worker, bool has_jobs, Oid caller,
				TimestampTz now)
{
	uint64 key = NameKey(worker_id);
	bool   is_first;

	(void) LockKey(LOCK_FIRST_ROW, key, true, true);
	is_first = LockKey(LOCK_FIRST_CLAIM, key, true, false);
	if (is_first && !WorkerFindRow(store, worker_id))
		WorkerInsertRow(store, worker_id, worker, true, caller, now);
	else if (is_first)
		RefuseIfOthers(store, worker_id, caller);
	else if (has_jobs)
		CheckFirstClaim(store, worker_id, caller);
	UnlockKey(LOCK_FIRST_ROW, key, true);
}

/*
 * Note a claim of a worker, and register the worker if it is unknown.  Returns the
 * moment from which another claim must be noted, as far as the row will stay as it
 * is; else 0.
 */
TimestampTz
WorkerHasClaimed(const char *worker_id, const ExternalWorker *worker, bool has_jobs)
{
	OwnerScope	scope;
	Store		store;
	TimestampTz now = ClockNow();
	TimestampTz due = 0;

	OwnerEnter(&scope);
	StoreOpenRel(&store, REL_WORKERS);
	if (WorkerFindRow(&store, worker_id))
	{
		RefuseIfOthers(&store, worker_id, scope.caller);
		due = NoteClaim(&store, worker_id, worker, now);
	}
	else if (worker->standing != WORKER_REGISTERED)
		RegisterByClaim(&store, worker_id, worker, has_jobs, scope.caller, now);
	StoreClose(&store, true);
	OwnerLeave(&scope);
	return due;
}

/*
 * A worker says that it lives.  The answer has the epochs of its jobs, so whose
 * it is comes first, before a row is locked.
 */
void
WorkerBeat(const char *worker_id)
{
	OwnerScope scope;
	Store	   store;
	Oid		   caller = GetUserId();

	OwnerEnter(&scope);
	StoreOpenRel(&store, REL_WORKERS);
	if (!WorkerFindRow(&store, worker_id) || !SlotIsNull(store.found, Anum_external_workers_ended_at))
		WorkerNotRegistered(worker_id);
	WorkerCheckOwner(worker_id, DatumGetObjectId(SlotDatum(store.found, Anum_external_workers_registered_by)), caller,
					 "send heartbeats for", "operator");
	Touch(&store, ClockNow(), 0);
	StoreClose(&store, true);
	OwnerLeave(&scope);
}

/* A worker has called about one of its jobs; its own lease, or NO_MICROSECONDS.  The caller is the owner. */
int64
WorkerSeen(struct varlena *worker_id)
{
	Store store;
	int64 lease = NO_MICROSECONDS;

	if (worker_id == NULL)
		return NO_MICROSECONDS;
	StoreOpenRel(&store, REL_WORKERS);
	if (WorkerFindRow(&store, text_to_cstring((text *) worker_id)) && SlotIsNull(store.found, Anum_external_workers_ended_at))
	{
		lease = WorkerLeaseOf(store.found);
		Touch(&store, ClockNow(), TOUCH_EVERY);
	}
	StoreClose(&store, true);
	return lease;
}
