/*
 * register.c
 *	  External workers: who they are and what they take.
 *
 * A worker that claims without having registered is registered by that claim,
 * for all external types in all queues, and forgotten an hour after its last
 * call.  A second registration of an id is refused while the first is alive,
 * unless it says take_over; alive is a worker that was seen within three of its
 * leases.  Jobs that the older one has stay with whoever has their epochs.
 */
#include "taskq.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "args.h"
#include "clock.h"
#include "compat.h"
#include "error.h"
#include "guc.h"
#include "handler.h"
#include "lease.h"
#include "locks.h"
#include "owner.h"
#include "queue.h"
#include "register.h"
#include "shmem.h"
#include "store.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(taskq_register_worker);
PG_FUNCTION_INFO_V1(taskq_unregister_worker);
PG_FUNCTION_INFO_V1(taskq_drain_worker);

#define IMPLICIT_LIFE USECS_PER_HOUR
#define TOUCH_EVERY (10 * USECS_PER_SEC)

/* Columns of taskq.external_workers, in order. */
enum
{
	W_WORKER_ID = 1, W_TASK_TYPES, W_QUEUES, W_CAPABILITIES, W_MAX_CONCURRENT_JOBS, W_LEASE,
	W_IMPLICIT, W_DRAINING, W_REGISTERED_BY, W_REGISTERED_AT, W_LAST_SEEN
};

/* the row ------------------------------------------------------------------ */

/* Find a worker's row; the caller is the owner and has opened the table. */
static bool
FindRow(Store *store, const char *worker_id)
{
	Snapshot	snapshot = StoreSnapshot();
	ScanKeyData key;
	bool		found;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(worker_id));
	found = StoreFind(store, CatalogRel(REL_WORKERS_PKEY), 1, &key, snapshot);
	UnregisterSnapshot(snapshot);
	return found;
}

static ArrayType *
CopyNames(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? NULL : DatumGetArrayTypePCopy(SlotDatum(slot, attnum));
}

/* A worker's own lease, or NO_MICROSECONDS. */
static int64
LeaseOf(TupleTableSlot *slot)
{
	return SlotIsNull(slot, W_LEASE) ? NO_MICROSECONDS : IntervalMicroseconds(SlotPointer(slot, W_LEASE));
}

static void
ReadWorker(ExternalWorker *worker, TupleTableSlot *slot)
{
	worker->base.task_types = CopyNames(slot, W_TASK_TYPES);
	worker->base.queues = CopyNames(slot, W_QUEUES);
	worker->base.capabilities = CopyNames(slot, W_CAPABILITIES);
	worker->max_concurrent_jobs = SlotIsNull(slot, W_MAX_CONCURRENT_JOBS) ? 0 :
		DatumGetInt32(SlotDatum(slot, W_MAX_CONCURRENT_JOBS));
	worker->lease = LeaseOf(slot);
	worker->draining = DatumGetBool(SlotDatum(slot, W_DRAINING));
}

/* Tell everybody at commit that what a registration says has changed. */
static void
RegistrationChanged(void)
{
	CacheInvalidateRelcacheByRelid(CatalogRel(REL_WORKERS));
	CommandCounterIncrement();
}

/* How long after its last call a worker counts as alive. */
static int64
LifeOf(TupleTableSlot *slot)
{
	if (DatumGetBool(SlotDatum(slot, W_IMPLICIT)))
		return IMPLICIT_LIFE;
	return 3 * (SlotIsNull(slot, W_LEASE) ? (int64) taskq_lease * 1000 : IntervalMicroseconds(SlotPointer(slot, W_LEASE)));
}

/* When a worker was seen long enough ago to note that it is seen again. */
static TimestampTz
TouchDue(Store *store, int64 every)
{
	return DatumGetTimestampTz(SlotDatum(store->found, W_LAST_SEEN)) + Min(every, LifeOf(store->found) / 6);
}

/* Was the row written by this transaction, which may yet be rolled back? */
static bool
IsRowOurs(Store *store)
{
	bool		isnull;
	Datum		xmin = slot_getsysattr(store->found, MinTransactionIdAttributeNumber, &isnull);

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
	Snapshot	snapshot;

	if (TouchDue(store, every) > now)
		return;
	snapshot = StoreSnapshot();
	if (StoreLock(store, &tid, snapshot, false, false) == STORE_LOCKED)
	{
		TupleTableSlot *row = StoreCopyRow(store);

		SlotSet(row, W_LAST_SEEN, TimestampTzGetDatum(now));
		StoreUpdate(store);
	}
	UnregisterSnapshot(snapshot);
}

static void
InsertRow(Store *store, const char *worker_id, const ExternalWorker *worker, bool implicit, TimestampTz now)
{
	TupleTableSlot *row = StoreNewRow(store);

	SlotSetString(row, W_WORKER_ID, worker_id);
	SlotSetPointer(row, W_TASK_TYPES, worker->base.task_types);
	SlotSetPointer(row, W_QUEUES, worker->base.queues);
	SlotSetPointer(row, W_CAPABILITIES, worker->base.capabilities);
	if (worker->max_concurrent_jobs > 0)
		SlotSet(row, W_MAX_CONCURRENT_JOBS, Int32GetDatum(worker->max_concurrent_jobs));
	if (worker->lease != NO_MICROSECONDS)
		SlotSetPointer(row, W_LEASE, MakeInterval(worker->lease));
	SlotSet(row, W_IMPLICIT, BoolGetDatum(implicit));
	SlotSet(row, W_DRAINING, BoolGetDatum(false));
	SlotSet(row, W_REGISTERED_BY, ObjectIdGetDatum(GetUserId()));
	SlotSet(row, W_REGISTERED_AT, TimestampTzGetDatum(now));
	SlotSet(row, W_LAST_SEEN, TimestampTzGetDatum(now));
	StoreInsert(store);
}

static uint64
IdKey(const char *worker_id)
{
	return hash_bytes_extended((const unsigned char *) worker_id, strlen(worker_id), 0);
}

/* for claims and heartbeats ------------------------------------------------ */

/*
 * Hold an id for a claim; false: it is being registered at this moment.  What a
 * registration says holds for all claims but those that were under way, and for
 * these it waits; a claim waits for nobody.
 */
bool
WorkerHold(const char *worker_id)
{
	return LockKey(LOCK_REGISTRATION, IdKey(worker_id), false, false);
}

void
WorkerRelease(const char *worker_id)
{
	UnlockKey(LOCK_REGISTRATION, IdKey(worker_id), false);
}

/* Who claims, and what may it be given?  An unknown id is one without limits. */
void
WorkerForClaim(const char *worker_id, ExternalWorker *worker)
{
	OwnerScope	scope;
	Store		store;

	memset(worker, 0, sizeof(*worker));
	worker->lease = NO_MICROSECONDS;
	OwnerEnter(&scope);
	StoreOpen(&store, CatalogRel(REL_WORKERS));
	if (FindRow(&store, worker_id))
		ReadWorker(worker, store.found);
	StoreClose(&store, false);
	OwnerLeave(&scope);
}

/*
 * It has claimed: note when, or register it if it was unknown.  While another
 * transaction does just that, it is left to that.  When there will be something
 * to note again, as far as the row says that will stay; else 0.
 */
TimestampTz
WorkerHasClaimed(const char *worker_id, const ExternalWorker *worker)
{
	OwnerScope	scope;
	Store		store;
	TimestampTz now = ClockNow();
	TimestampTz due = 0;
	Oid			caller = GetUserId();

	OwnerEnter(&scope);
	StoreOpen(&store, CatalogRel(REL_WORKERS));
	if (FindRow(&store, worker_id))
	{
		due = IsRowOurs(&store) ? 0 : TouchDue(&store, TOUCH_EVERY);
		Touch(&store, now, TOUCH_EVERY);
	}
	else if (LockKey(LOCK_FIRST_CLAIM, IdKey(worker_id), true, false) &&
			 !FindRow(&store, worker_id))
	{
		SetUserIdAndSecContext(caller, scope.sec_context);
		InsertRow(&store, worker_id, worker, true, now);
	}
	StoreClose(&store, true);
	OwnerLeave(&scope);
	return due;
}

static void
NotRegistered(const char *worker_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
			 errmsg("worker \"%s\" is not registered", worker_id),
			 errhint("Register it with taskq.register_worker(), or let it claim a job.")));
}

/* A worker says that it lives. */
void
WorkerBeat(const char *worker_id)
{
	OwnerScope	scope;
	Store		store;

	OwnerEnter(&scope);
	StoreOpen(&store, CatalogRel(REL_WORKERS));
	if (!FindRow(&store, worker_id))
		NotRegistered(worker_id);
	Touch(&store, ClockNow(), 0);
	StoreClose(&store, true);
	OwnerLeave(&scope);
}

/* A worker has called about one of its jobs; its own lease, or NO_MICROSECONDS.  The caller is the owner. */
int64
WorkerSeen(struct varlena *worker_id)
{
	Store		store;
	int64		lease = NO_MICROSECONDS;

	if (worker_id == NULL)
		return NO_MICROSECONDS;
	StoreOpen(&store, CatalogRel(REL_WORKERS));
	if (FindRow(&store, text_to_cstring((text *) worker_id)))
	{
		lease = LeaseOf(store.found);
		Touch(&store, ClockNow(), TOUCH_EVERY);
	}
	StoreClose(&store, true);
	return lease;
}

/* Forget workers that registered themselves by a claim, an hour after their last. */
void
WorkerForgetOld(void)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(ClockNow() - IMPLICIT_LIFE)};
	OwnerScope	scope;

	OwnerEnterSpi(&scope);
	OwnerExecute("DELETE FROM taskq.external_workers w USING"
				 " (SELECT worker_id FROM taskq.external_workers WHERE implicit AND last_seen < $1"
				 "  FOR UPDATE SKIP LOCKED) old"
				 " WHERE w.worker_id = old.worker_id"
				 "   AND NOT EXISTS (SELECT FROM taskq.jobs j WHERE j.gate = 'r' AND j.worker_id = w.worker_id)",
				 1, types, values, NULL);
	OwnerLeaveSpi(&scope);
}

/* SQL ---------------------------------------------------------------------- */

/* Every type must be one that external workers may handle. */
static void
CheckTypes(ArrayType *task_types)
{
	Datum	   *values;
	int			n;

	if (task_types == NULL)
		return;
	deconstruct_array(task_types, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *type = TextDatumGetCString(values[i]);
		const TaskqHandler *handler = HandlerFind(type);

		if (handler == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_TQ_NOT_REGISTERED),
					 errmsg("No handler registered for task type \"%s\"", type),
					 errdetail("Registered types: %s.", HandlerTypesText()),
					 errhint("Declare it for external workers with taskq.register_handler('%s').", type)));
		if (handler->signature != NULL && !handler->also_external)
			ereport(ERROR,
					(errcode(ERRCODE_TQ_NOT_REGISTERED),
					 errmsg("task type \"%s\" is handled in the server", type),
					 errdetail("Its handler is %s.", handler->signature),
					 errhint("To let external workers take it too, register it with also_external => true.")));
	}
}

/* Replace a registration, if the older one is over or may be taken over. */
static void
ReplaceRow(Store *store, const char *worker_id, bool take_over, TimestampTz now)
{
	Snapshot	snapshot = StoreSnapshot();
	ItemPointerData tid = store->found->tts_tid;
	TimestampTz last_seen = DatumGetTimestampTz(SlotDatum(store->found, W_LAST_SEEN));
	bool		implicit = DatumGetBool(SlotDatum(store->found, W_IMPLICIT));

	if (!take_over && !implicit && last_seen + LifeOf(store->found) > now)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("worker \"%s\" is already registered and alive", worker_id),
				 errdetail("It was last seen at %s.", timestamptz_to_str(last_seen)),
				 errhint("Use another id, or replace it with take_over => true.")));
	if (StoreLock(store, &tid, snapshot, true, true) == STORE_LOCKED)
	{
		StoreDelete(store);
		CommandCounterIncrement();
	}
	UnregisterSnapshot(snapshot);
}

Datum
taskq_register_worker(PG_FUNCTION_ARGS)
{
	OwnerScope	scope;
	Store		store;
	ExternalWorker worker = {0};
	char	   *worker_id;
	bool		take_over;
	bool		is_new;
	TimestampTz now = ClockNow();
	Oid			caller = GetUserId();

	CheckArgCount(fcinfo, 7);
	CheckWritable("taskq.register_worker()");
	worker_id = ArgName(fcinfo, 0, "worker_id");
	worker.base.task_types = ArgSomeNamesOrNull(fcinfo, 1, "task_types");
	CheckTypes(worker.base.task_types);
	worker.base.queues = ArgSomeNamesOrNull(fcinfo, 2, "queues");
	QueueCheckNames(worker.base.queues);
	worker.base.capabilities = NormalizeNames(ArgTagsOrNull(fcinfo, 3, "capabilities"), "capabilities");
	if (NamesCount(worker.base.capabilities) == 0)
		worker.base.capabilities = NULL;
	worker.max_concurrent_jobs = PG_ARGISNULL(4) ? 0 : ArgInt(fcinfo, 4, "max_concurrent_jobs", 1, 100000);
	worker.lease = ArgMicroseconds(fcinfo, 5, "lease", USECS_PER_SEC);
	take_over = ArgBool(fcinfo, 6, "take_over");

	OwnerEnter(&scope);
	LockKey(LOCK_REGISTRATION, IdKey(worker_id), true, true);
	LockKey(LOCK_FIRST_CLAIM, IdKey(worker_id), true, true);
	StoreOpen(&store, CatalogRel(REL_WORKERS));
	is_new = !FindRow(&store, worker_id);
	if (!is_new)
		ReplaceRow(&store, worker_id, take_over, now);
	SetUserIdAndSecContext(caller, scope.sec_context);
	InsertRow(&store, worker_id, &worker, false, now);
	StoreClose(&store, true);
	OwnerLeave(&scope);
	RegistrationChanged();
	PG_RETURN_BOOL(is_new);
}

Datum
taskq_unregister_worker(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID};
	Datum		values[1];
	OwnerScope	scope;
	char	   *worker_id;
	bool		found;

	CheckArgCount(fcinfo, 1);
	CheckWritable("taskq.unregister_worker()");
	worker_id = ArgName(fcinfo, 0, "worker_id");
	values[0] = CStringGetTextDatum(worker_id);
	OwnerEnterSpi(&scope);
	found = OwnerExecute("DELETE FROM taskq.external_workers WHERE worker_id = $1", 1, types, values, NULL) > 0;
	OwnerLeaveSpi(&scope);
	if (found)
	{
		RegistrationChanged();
		(void) LeaseReleaseAll(worker_id);
	}
	PG_RETURN_BOOL(found);
}

/* Ask a background worker to finish its job and leave; was there one? */
static bool
DrainBackground(const char *worker_id)
{
	bool		found = false;

	for (int i = 0; ShmemPresent() && i < taskq_shared->n_slots; i++)
	{
		TaskqSlot  *slot = &taskq_slots[i];

		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		if (slot->worker && slot->dboid == MyDatabaseId && strcmp(slot->worker_id, worker_id) == 0)
		{
			slot->leave = true;
			SetLatch(slot->latch);
			found = true;
		}
		LWLockRelease(&slot->lock);
	}
	return found;
}

Datum
taskq_drain_worker(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID};
	Datum		values[1];
	OwnerScope	scope;
	char	   *worker_id;
	bool		found;

	CheckArgCount(fcinfo, 1);
	CheckWritable("taskq.drain_worker()");
	if (PG_ARGISNULL(0))
		worker_id = ArgName(fcinfo, 0, "worker_id");	/* says what is wrong */
	worker_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (DrainBackground(worker_id))
		PG_RETURN_BOOL(true);
	CheckName(worker_id, "worker_id");
	values[0] = CStringGetTextDatum(worker_id);
	OwnerEnterSpi(&scope);
	found = OwnerExecute("UPDATE taskq.external_workers SET draining = true WHERE worker_id = $1",
						 1, types, values, NULL) > 0;
	OwnerLeaveSpi(&scope);
	if (!found)
		NotRegistered(worker_id);
	RegistrationChanged();
	PG_RETURN_BOOL(true);
}
