/*
 * register_worker.c
 *	  register_worker(): an instance of an external worker registers what it takes.
 *
 * If the instance is already registered and alive, a second registration is refused
 * unless it says take_over.  An instance is alive if it was seen within twice its lease.
 * taskq does not know which process makes a call, because programs may share
 * connections.  So a process that registers its instance again is refused, too.  Jobs of
 * the older registration stay with the process that has their epochs.  The end of a
 * registration is remembered for an hour (unregister_worker.c).
 */
#include "taskq.h"

#include "access/xact.h"
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
#include "base/signature.h"
#include "claim/external_worker.h"
#include "claim/external_worker_row.h"
#include "claim/standing.h"
#include "config/handler.h"
#include "config/queue.h"
#include "config/tenant.h"
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
 * Check that the caller may register the instance.  Members of the role that has
 * registered it, or another instance of the worker, may, and admins.  Registrations that
 * have ended do not count.
 */
static void
CheckOwnerOfId(Store *store, const WorkerName *name, Oid caller)
{
	bool has_row;
	Oid	 other = WorkerIdOfOthers(store, name, caller, ACCESS_ADMIN, &has_row);

	if (OidIsValid(other))
		WorkerCheckOwner(name, other, caller, has_row ? "replace" : "register", ACCESS_ADMIN);
}

/*
 * Refuse a role that may not register the instance, before its name is locked: while a
 * registration waits for a claim under the name, no other claim under it is given a job.
 */
static void
CheckOwnerUnlocked(const WorkerName *name, Oid caller)
{
	Store store;

	StoreOpenRel(&store, REL_WORKERS);
	CheckOwnerOfId(&store, name, caller);
	StoreClose(&store, false);
}

TASKQ_NORETURN static void
RefuseAlive(TupleTableSlot *slot, const WorkerName *name)
{
	char *last_seen = pstrdup(timestamptz_to_str(DatumGetTimestampTz(SlotDatum(slot, Anum_external_workers_last_seen))));

	ereport(ERROR,
			(errcode(ERRCODE_TQ_WORKER_IS_ALIVE),
			 errmsg("%s is already registered and alive", WorkerNameText(name)),
			 errdetail("It was last seen at %s, and counts as alive until %s.", last_seen, timestamptz_to_str(WorkerLivesUntil(slot))),
			 errhint("Give another process of the worker another instance_id. If the process that used this one has ended, call taskq.unregister_worker() first, which gives its jobs back at once; with take_over => true they stay claimed until their leases are over. To change the types or capabilities of your own process, use take_over => true, too.")));
}

/* Check that the caller may replace this registration, and that no living process uses it. */
static void
CheckMayReplace(TupleTableSlot *slot, const WorkerName *name, bool take_over, TimestampTz now, Oid caller)
{
	if (!SlotIsNull(slot, Anum_external_workers_ended_at))
		return;
	WorkerCheckOwner(name, DatumGetObjectId(SlotDatum(slot, Anum_external_workers_registered_by)), caller, "replace", ACCESS_ADMIN);
	if (!take_over && !DatumGetBool(SlotDatum(slot, Anum_external_workers_implicit)) && now <= WorkerLivesUntil(slot))
		RefuseAlive(slot, name);
}

/*
 * Log a registration.  The set of capabilities is logged in full if it is new, and
 * otherwise as its digest.  "before" is the row that it replaces, or NULL.
 */
static void
LogRegistration(const WorkerName *name, ArrayType *capabilities, TupleTableSlot *before)
{
	ArrayType *had = before == NULL ? NULL : SlotNames(before, Anum_external_workers_capabilities);
	bool	   is_new = before == NULL || !NamesEqual(had, capabilities);

	ereport(LOG,
			(errmsg("%s %s with %s", WorkerNameText(name), before == NULL ? "registers" : "registers again",
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

/* Write the row of a registration, unless the worker's id belongs to another role by now. */
static void
WriteRow(Store *store, const WorkerName *name, const ExternalWorker *worker, Oid caller, TimestampTz registered_at, TimestampTz now)
{
	WorkerHoldId(name);
	CheckOwnerOfId(store, name, caller);
	WorkerInsertRow(store, name, worker, false, caller, registered_at, now);
	WorkerReleaseId(name);
}

Datum
taskq_register_worker(PG_FUNCTION_ARGS)
{
	OwnerScope	   scope;
	Store		   store;
	ExternalWorker worker = { 0 };
	WorkerName	   name;
	bool		   take_over;
	bool		   found;
	bool		   is_new;
	TimestampTz	   now = ClockNow();
	TimestampTz	   registered_at = now;
	Oid			   caller = GetUserId();

	CheckCall(fcinfo);
	CheckWritable("taskq.register_worker()");
	name = WorkerNameOf(ArgName(fcinfo, 0, "worker_id"), ArgNameOrNull(fcinfo, 7, "instance_id"));
	StandingRefuseReserved(name.worker_id);
	worker.base.task_types = ArgSomeNamesOrNull(fcinfo, 1, "task_types");
	CheckTypes(worker.base.task_types);
	worker.base.queues = ArgSomeNamesOrNull(fcinfo, 2, "queues");
	QueueCheckNames(worker.base.queues);
	worker.base.capabilities = ArgCapabilities(fcinfo, 3, "capabilities");
	if (NamesCount(worker.base.capabilities) == 0)
		worker.base.capabilities = NULL;
	worker.base.tenants = ArgSomeNamesOrNull(fcinfo, 8, "tenants");
	worker.base.max_concurrent_jobs = PG_ARGISNULL(4) ? 0 : ArgInt(fcinfo, 4, "max_concurrent_jobs", 1, 100000);
	worker.lease = ArgMicroseconds(fcinfo, 5, "lease", USECS_PER_SEC);
	take_over = ArgBool(fcinfo, 6, "take_over");
	worker.queue_weights = QueueWeightsArg(fcinfo, 9);
	QueueWeightsCheck(QueueWeightsRead(worker.queue_weights), worker.base.queues);

	OwnerEnter(&scope);
	CheckOwnerUnlocked(&name, caller);
	WorkerHoldOff(&name, true);
	LockKey(LOCK_FIRST_CLAIM, name.key, true, true);
	StoreOpenRel(&store, REL_WORKERS);
	found = WorkerFindRow(&store, &name);
	is_new = !found || !SlotIsNull(store.found, Anum_external_workers_ended_at);
	/* a claim that waits goes on after a take-over, and ends if the instance was unregistered meanwhile */
	if (!is_new && !DatumGetBool(SlotDatum(store.found, Anum_external_workers_implicit)))
		registered_at = DatumGetTimestampTz(SlotDatum(store.found, Anum_external_workers_registered_at));
	if (found)
		CheckMayReplace(store.found, &name, take_over, now, caller);
	LogRegistration(&name, worker.base.capabilities, is_new ? NULL : store.found);
	if (found)
		RemoveRow(&store);
	WriteRow(&store, &name, &worker, caller, registered_at, now);
	(void) TenantsBind(worker.base.tenants);
	StoreClose(&store, true);
	OwnerLeave(&scope);
	RegistrationChanged(&name);
	PG_RETURN_BOOL(is_new);
}
