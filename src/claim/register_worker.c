/*
 * register_worker.c
 *	  register_worker(): an external worker registers what it takes.
 *
 * If the id is already registered and that worker is alive, a second registration
 * is refused unless it says take_over.  A worker is alive if it was seen within
 * three times its lease.  Jobs of the older worker stay with the process that has
 * their epochs.  The end of a registration is remembered for an hour
 * (unregister_worker.c).
 */
#include "taskq.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/capability.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/error.h"
#include "claim/external_worker.h"
#include "claim/external_worker_row.h"
#include "claim/standing.h"
#include "config/handler.h"
#include "config/queue.h"
#include "shared/locks.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_register_worker);

/* Check that external workers may handle all these types. */
static void
CheckTypes(ArrayType *task_types)
{
	char **types;
	char  *list;
	int	   n;
	int	   unknown;

	if (task_types == NULL)
		return;
	unknown = HandlerUnknownTypes(task_types, &list);
	if (unknown > 0)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_NOT_REGISTERED),
				 errmsg_plural("no handler registered for task type %s",
							   "no handlers registered for task types %s", unknown, list),
				 errdetail("Registered types: %s.", HandlerTypesText()),
				 errhint_plural("Declare it for external workers with taskq.register_handler().",
								"Declare each for external workers with taskq.register_handler().", unknown)));
	types = NamesToStrings(task_types, &n, "task_types");
	for (int i = 0; i < n; i++)
	{
		char			   *type = types[i];
		const TaskqHandler *handler = HandlerFind(type);

		/* another session may have unregistered it meanwhile */
		if (handler != NULL && handler->signature != NULL && !handler->also_external)
			ereport(ERROR,
					(errcode(ERRCODE_TQ_NOT_REGISTERED),
					 errmsg("task type \"%s\" is handled in the server", type),
					 errdetail("Its handler is %s.", handler->signature),
					 errhint("To let external workers take it too, register it with also_external => true.")));
	}
}

/*
 * Check that the caller may replace the registration in a row.  Members of the role that
 * made it may, and admins.  Anybody may replace one that has ended.
 */
static void
CheckOwnerOfRow(TupleTableSlot *slot, const char *worker_id, Oid caller)
{
	if (SlotIsNull(slot, Anum_external_workers_ended_at))
		WorkerCheckOwner(worker_id, DatumGetObjectId(SlotDatum(slot, Anum_external_workers_registered_by)), caller, "replace", ACCESS_ADMIN);
}

/*
 * Refuse a role that may not register the id, before the id is locked: while a
 * registration waits for a claim under the id, no other claim under it is given a job.
 * The first claim of an open transaction counts, too, whether it commits or not.
 */
static void
CheckOwnerUnlocked(const char *worker_id, Oid caller)
{
	Store		 store;
	SnapshotData dirty;

	StoreOpenRel(&store, REL_WORKERS);
	InitDirtySnapshot(dirty);
	if (WorkerFindRow(&store, worker_id) || WorkerFindRowAsOf(&store, worker_id, &dirty))
		CheckOwnerOfRow(store.found, worker_id, caller);
	StoreClose(&store, false);
}

/* Check that the caller may replace this registration, and that no living worker uses it. */
static void
CheckMayReplace(TupleTableSlot *slot, const char *worker_id, bool take_over, TimestampTz now, Oid caller)
{
	TimestampTz last_seen = DatumGetTimestampTz(SlotDatum(slot, Anum_external_workers_last_seen));

	CheckOwnerOfRow(slot, worker_id, caller);
	if (SlotIsNull(slot, Anum_external_workers_ended_at) && !take_over &&
		!DatumGetBool(SlotDatum(slot, Anum_external_workers_implicit)) && WorkerIsAlive(slot, now))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("worker \"%s\" is already registered and alive", worker_id),
				 errdetail("It was last seen at %s.", timestamptz_to_str(last_seen)),
				 errhint("Use another id. If the process that used this one has ended, call taskq.unregister_worker() first, which gives its jobs back at once; with take_over => true they stay claimed until their leases are over.")));
}

/*
 * Log a registration.  The set of capabilities is logged in full if it is new, and
 * otherwise as its digest.  "before" is the row that it replaces, or NULL.
 */
static void
LogRegistration(const char *worker_id, ArrayType *capabilities, TupleTableSlot *before)
{
	ArrayType *had = before == NULL ? NULL : SlotNames(before, Anum_external_workers_capabilities);
	bool	   is_new = before == NULL || !NamesEqual(had, capabilities);

	ereport(LOG,
			(errmsg("worker \"%s\" %s with %s", worker_id, before == NULL ? "registers" : "registers again",
					CapabilitiesInLog(capabilities, is_new))));
}

static void
RemoveRow(Store *store)
{
	Snapshot		snapshot = StoreSnapshot();
	ItemPointerData tid = store->found->tts_tid;

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
	TimestampTz	   registered_at = now;
	Oid			   caller = GetUserId();

	CheckArgCount(fcinfo, 7);
	CheckWritable("taskq.register_worker()");
	worker_id = ArgName(fcinfo, 0, "worker_id");
	StandingRefuseReserved(worker_id);
	worker.base.task_types = ArgSomeNamesOrNull(fcinfo, 1, "task_types");
	CheckTypes(worker.base.task_types);
	worker.base.queues = ArgSomeNamesOrNull(fcinfo, 2, "queues");
	QueueCheckNames(worker.base.queues);
	worker.base.capabilities = ArgCapabilities(fcinfo, 3, "capabilities");
	if (NamesCount(worker.base.capabilities) == 0)
		worker.base.capabilities = NULL;
	worker.base.max_concurrent_jobs = PG_ARGISNULL(4) ? 0 : ArgInt(fcinfo, 4, "max_concurrent_jobs", 1, 100000);
	worker.lease = ArgMicroseconds(fcinfo, 5, "lease", USECS_PER_SEC);
	take_over = ArgBool(fcinfo, 6, "take_over");

	OwnerEnter(&scope);
	CheckOwnerUnlocked(worker_id, caller);
	WorkerHoldOff(worker_id, true);
	LockKey(LOCK_FIRST_CLAIM, NameKey(worker_id), true, true);
	StoreOpenRel(&store, REL_WORKERS);
	found = WorkerFindRow(&store, worker_id);
	is_new = !found || !SlotIsNull(store.found, Anum_external_workers_ended_at);
	/* a claim that waits for the id goes on after a take-over, and ends if the id was unregistered meanwhile */
	if (!is_new && !DatumGetBool(SlotDatum(store.found, Anum_external_workers_implicit)))
		registered_at = DatumGetTimestampTz(SlotDatum(store.found, Anum_external_workers_registered_at));
	if (found)
		CheckMayReplace(store.found, worker_id, take_over, now, caller);
	LogRegistration(worker_id, worker.base.capabilities, is_new ? NULL : store.found);
	if (found)
		RemoveRow(&store);
	WorkerInsertRow(&store, worker_id, &worker, false, caller, registered_at, now);
	StoreClose(&store, true);
	OwnerLeave(&scope);
	RegistrationChanged(worker_id);
	PG_RETURN_BOOL(is_new);
}
