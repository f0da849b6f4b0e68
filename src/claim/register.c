/*
 * register.c
 *	  External workers: who they are and what they take.
 *
 * A worker that claims without having registered is registered by that claim,
 * for the task types that it names, in all queues, and forgotten an hour after
 * its last call; standing.c says who may claim at all.
 *
 * A second registration of an id is refused while the first is alive, unless it
 * says take_over; alive is a worker that was seen within three of its leases.
 * Jobs that the older one has stay with whoever has their epochs.  That one has
 * ended is remembered for an hour (unregister.c).
 */
#include "taskq.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "claim/register.h"
#include "claim/standing.h"
#include "claim/unregister.h"
#include "config/handler.h"
#include "config/queue.h"
#include "shared/locks.h"
#include "shared/wake.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_register_worker);

#define REMEMBERED USECS_PER_HOUR			/* an implicit registration, and that one has ended */
#define LOST_REMEMBERED (7 * USECS_PER_DAY) /* a registration after it was lost */
#define TOUCH_EVERY (10 * USECS_PER_SEC)
#define MAX_IMPLICIT_TYPES 10000

/* Columns of taskq.external_workers, in order. */
enum
{
	W_WORKER_ID = 1,
	W_TASK_TYPES,
	W_QUEUES,
	W_CAPABILITIES,
	W_MAX_CONCURRENT_JOBS,
	W_LEASE,
	W_IMPLICIT,
	W_DRAINING,
	W_REGISTERED_BY,
	W_REGISTERED_AT,
	W_LAST_SEEN,
	W_ENDED_AT
};

/* the row ------------------------------------------------------------------ */

static bool
FindRowAsOf(Store *store, const char *worker_id, Snapshot snapshot)
{
	ScanKeyData key;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(worker_id));
	return StoreFind(store, CatalogRel(REL_WORKERS_PKEY), 1, &key, snapshot);
}

/* Find a worker's row; the caller is the owner and has opened the table. */
static bool
FindRow(Store *store, const char *worker_id)
{
	Snapshot snapshot = StoreSnapshot();
	bool	 found = FindRowAsOf(store, worker_id, snapshot);

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
	worker->max_concurrent_jobs = SlotIsNull(slot, W_MAX_CONCURRENT_JOBS) ? 0 : DatumGetInt32(SlotDatum(slot, W_MAX_CONCURRENT_JOBS));
	worker->lease = LeaseOf(slot);
	worker->draining = DatumGetBool(SlotDatum(slot, W_DRAINING));
	worker->registered_by = DatumGetObjectId(SlotDatum(slot, W_REGISTERED_BY));
	worker->ended_at = SlotIsNull(slot, W_ENDED_AT) ? 0 : DatumGetTimestampTz(SlotDatum(slot, W_ENDED_AT));
	if (worker->ended_at != 0)
		worker->standing = WORKER_ENDED;
	else
		worker->standing = DatumGetBool(SlotDatum(slot, W_IMPLICIT)) ? WORKER_IMPLICIT : WORKER_REGISTERED;
}

/*
 * Tell everybody at commit that what a registration says has changed; whoever
 * waits for jobs of this worker is to look at once.
 */
void
RegistrationChanged(const char *worker_id)
{
	CacheInvalidateRelcacheByRelid(CatalogRel(REL_WORKERS));
	CommandCounterIncrement();
	WakeWorker(NameKey(worker_id));
}

/* How long after its last call a worker counts as alive. */
static int64
LifeOf(TupleTableSlot *slot)
{
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

		SlotSet(row, W_LAST_SEEN, TimestampTzGetDatum(now));
		StoreUpdate(store);
	}
	UnregisterSnapshot(snapshot);
}

static void
InsertRow(Store *store, const char *worker_id, const ExternalWorker *worker, bool implicit, Oid registered_by, TimestampTz now)
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
	SlotSet(row, W_REGISTERED_BY, ObjectIdGetDatum(registered_by));
	SlotSet(row, W_REGISTERED_AT, TimestampTzGetDatum(now));
	SlotSet(row, W_LAST_SEEN, TimestampTzGetDatum(now));
	StoreInsert(store);
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
	return LockKey(LOCK_REGISTRATION, NameKey(worker_id), false, false);
}

void
WorkerRelease(const char *worker_id)
{
	UnlockKey(LOCK_REGISTRATION, NameKey(worker_id), false);
}

/* Take no jobs for an id while its registration ends or drains, unless that is to wait. */
void
WorkerHoldOff(const char *worker_id)
{
	(void) LockKey(LOCK_REGISTRATION, NameKey(worker_id), true, false);
}

/* What is known of an id. */
void
WorkerFind(const char *worker_id, ExternalWorker *worker)
{
	OwnerScope scope;
	Store	   store;

	memset(worker, 0, sizeof(*worker));
	worker->standing = WORKER_UNKNOWN;
	worker->lease = NO_MICROSECONDS;
	OwnerEnter(&scope);
	StoreOpenRel(&store, REL_WORKERS);
	if (FindRow(&store, worker_id))
		ReadWorker(worker, store.found);
	StoreClose(&store, false);
	OwnerLeave(&scope);
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
	if (worker->standing == WORKER_REGISTERED || !DatumGetBool(SlotDatum(store->found, W_IMPLICIT)) ||
		SlotIsNull(store->found, W_TASK_TYPES))
		return false;
	*types = DatumGetArrayTypeP(SlotDatum(store->found, W_TASK_TYPES));
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
			SlotSetNull(row, W_TASK_TYPES);
		else
			SlotSetPointer(row, W_TASK_TYPES, types);
		SlotSet(row, W_LAST_SEEN, TimestampTzGetDatum(now));
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

	if (!SlotIsNull(store->found, W_ENDED_AT))
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
 * A registration that this claim could not know of, as it came meanwhile or is not
 * committed, must not be another role's.  The id of a session is its own, whichever
 * role it has taken on.
 */
static void
RefuseIfOthers(Store *store, const char *worker_id, const ExternalWorker *worker, Oid caller)
{
	Oid registered_by = DatumGetObjectId(SlotDatum(store->found, W_REGISTERED_BY));

	if (worker->of_session || !SlotIsNull(store->found, W_ENDED_AT) || WorkerIsOf(registered_by, caller, "operator"))
		return;
	StandingRefuseOthers(worker_id, registered_by);
}

/*
 * Another transaction has registered it by its first claim, and is open.  Whether that
 * commits or not: an id that two roles use at the same time is given to one of them.
 */
static void
CheckFirstClaim(Store *store, const char *worker_id, const ExternalWorker *worker, Oid caller)
{
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	if (FindRowAsOf(store, worker_id, &dirty))
		RefuseIfOthers(store, worker_id, worker, caller);
}

/*
 * Register it by its first claim.  While another transaction has done
 * just that and is open, it is left to that one.  The lock that is held for a moment
 * only sees to it that who has the other lock also has the row.
 */
static void
RegisterByClaim(Store *store, const char *worker_id, const ExternalWorker *worker, bool has_jobs, Oid caller,
				TimestampTz now)
{
	uint64 key = NameKey(worker_id);
	bool   is_first;

	(void) LockKey(LOCK_FIRST_ROW, key, true, true);
	is_first = LockKey(LOCK_FIRST_CLAIM, key, true, false);
	if (is_first && !FindRow(store, worker_id))
		InsertRow(store, worker_id, worker, true, caller, now);
	else if (is_first)
		RefuseIfOthers(store, worker_id, worker, caller);
	else if (has_jobs)
		CheckFirstClaim(store, worker_id, worker, caller);
	UnlockKey(LOCK_FIRST_ROW, key, true);
}

/*
 * It has claimed: note when, or register it if it was unknown.  When there will be
 * something to note again, as far as the row says that will stay; else 0.
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
	if (FindRow(&store, worker_id))
	{
		RefuseIfOthers(&store, worker_id, worker, scope.caller);
		due = NoteClaim(&store, worker_id, worker, now);
	}
	else if (worker->standing != WORKER_REGISTERED)
		RegisterByClaim(&store, worker_id, worker, has_jobs, scope.caller, now);
	StoreClose(&store, true);
	OwnerLeave(&scope);
	return due;
}

void
WorkerNotRegistered(const char *worker_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
			 errmsg("worker \"%s\" is not registered", worker_id),
			 errhint("Register it with taskq.register_worker().")));
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
	if (!FindRow(&store, worker_id) || !SlotIsNull(store.found, W_ENDED_AT))
		WorkerNotRegistered(worker_id);
	WorkerCheckOwner(worker_id, DatumGetObjectId(SlotDatum(store.found, W_REGISTERED_BY)), caller,
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
	if (FindRow(&store, text_to_cstring((text *) worker_id)) && SlotIsNull(store.found, W_ENDED_AT))
	{
		lease = LeaseOf(store.found);
		Touch(&store, ClockNow(), TOUCH_EVERY);
	}
	StoreClose(&store, true);
	return lease;
}

/*
 * Forget workers that registered themselves by a claim, an hour after their last,
 * and those that have ended; and those that have been lost for a week, whose id
 * nobody will use again if it was made of a process id, say.
 */
void
WorkerForgetOld(void)
{
	Oid			types[] = { TIMESTAMPTZOID, TIMESTAMPTZOID, INTERVALOID };
	TimestampTz now = ClockNow();
	Datum		values[] = { TimestampTzGetDatum(now - REMEMBERED), TimestampTzGetDatum(now - LOST_REMEMBERED),
							 PointerGetDatum(MakeInterval((int64) taskq_lease * 1000)) };
	OwnerScope	scope;
	bool		any;

	OwnerEnterSpi(&scope);
	any = OwnerExecute("DELETE FROM taskq.external_workers w USING"
					   " (SELECT worker_id FROM taskq.external_workers"
					   "  WHERE implicit AND last_seen < $1 OR ended_at < $1"
					   "     OR last_seen + 3 * COALESCE(lease, $3) < $2"
					   "  FOR UPDATE SKIP LOCKED) old"
					   " WHERE w.worker_id = old.worker_id"
					   "   AND NOT EXISTS (SELECT FROM taskq.jobs j WHERE j.gate = 'r' AND j.worker_id = w.worker_id)",
					   3, types, values, NULL) > 0;
	OwnerLeaveSpi(&scope);
	if (any)
		CacheInvalidateRelcacheByRelid(CatalogRel(REL_WORKERS));
}

/* SQL ---------------------------------------------------------------------- */

/* Those of the types that nobody has registered, as a list, and how many. */
static char *
UnknownTypes(char **types, int n, int *unknown)
{
	StringInfoData list;

	initStringInfo(&list);
	*unknown = 0;
	for (int i = 0; i < n; i++)
		if (HandlerFind(types[i]) == NULL)
			appendStringInfo(&list, "%s\"%s\"", (*unknown)++ > 0 ? ", " : "", types[i]);
	return list.data;
}

/* Every type must be one that external workers may handle. */
static void
CheckTypes(ArrayType *task_types)
{
	char **types;
	char  *list;
	int	   n;
	int	   unknown;

	if (task_types == NULL)
		return;
	types = NamesToStrings(task_types, &n, "task_types");
	list = UnknownTypes(types, n, &unknown);
	if (unknown > 1)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_NOT_REGISTERED),
				 errmsg("No handlers registered for task types %s", list),
				 errdetail("Registered types: %s.", HandlerTypesText()),
				 errhint("Declare each for external workers with taskq.register_handler().")));
	for (int i = 0; i < n; i++)
	{
		char			   *type = types[i];
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

/*
 * May the caller replace this registration?  That is whoever made it, also by
 * membership, or an admin; one that has ended is anybody's.
 */
static void
CheckMayReplace(TupleTableSlot *slot, const char *worker_id, bool take_over, TimestampTz now, Oid caller)
{
	TimestampTz last_seen = DatumGetTimestampTz(SlotDatum(slot, W_LAST_SEEN));

	if (!SlotIsNull(slot, W_ENDED_AT))
		return;
	if (!take_over && !DatumGetBool(SlotDatum(slot, W_IMPLICIT)) && last_seen + LifeOf(slot) > now)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("worker \"%s\" is already registered and alive", worker_id),
				 errdetail("It was last seen at %s.", timestamptz_to_str(last_seen)),
				 errhint("Use another id. If the process that used this one has ended, call taskq.unregister_worker() first, which gives its jobs back at once; with take_over => true they stay claimed until their leases are over.")));
	WorkerCheckOwner(worker_id, DatumGetObjectId(SlotDatum(slot, W_REGISTERED_BY)), caller, "replace", "admin");
}

static void
ReplaceRow(Store *store, const char *worker_id, bool take_over, TimestampTz now, Oid caller)
{
	Snapshot		snapshot = StoreSnapshot();
	ItemPointerData tid = store->found->tts_tid;

	CheckMayReplace(store->found, worker_id, take_over, now, caller);
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
	OwnerScope	   scope;
	Store		   store;
	ExternalWorker worker = { 0 };
	char		  *worker_id;
	bool		   take_over;
	bool		   found;
	bool		   is_new;
	TimestampTz	   now = ClockNow();
	Oid			   caller = GetUserId();

	CheckArgCount(fcinfo, 7);
	CheckWritable("taskq.register_worker()");
	worker_id = ArgName(fcinfo, 0, "worker_id");
	StandingRefuseReserved(worker_id);
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
	LockKey(LOCK_REGISTRATION, NameKey(worker_id), true, true);
	LockKey(LOCK_FIRST_CLAIM, NameKey(worker_id), true, true);
	StoreOpenRel(&store, REL_WORKERS);
	found = FindRow(&store, worker_id);
	is_new = !found || !SlotIsNull(store.found, W_ENDED_AT);
	if (found)
		ReplaceRow(&store, worker_id, take_over, now, caller);
	InsertRow(&store, worker_id, &worker, false, caller, now);
	StoreClose(&store, true);
	OwnerLeave(&scope);
	RegistrationChanged(worker_id);
	PG_RETURN_BOOL(is_new);
}
