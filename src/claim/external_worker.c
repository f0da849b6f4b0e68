/*
 * external_worker.c
 *	  External workers: the registrations of their instances and who may use them.
 *
 * A worker that claims without a registration is registered by that claim, for the
 * task types that the claim names, in all queues.  This implicit registration is
 * forgotten an hour after the worker's last call.  standing.c decides who may claim
 * at all.
 */
#include "taskq.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
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
#include "base/signature.h"
#include "claim/external_worker.h"
#include "claim/external_worker_row.h"
#include "config/roles.h"
#include "shared/locks.h"
#include "shared/wake.h"
#include "store/owner.h"
#include "store/row.h"

#define REMEMBERED USECS_PER_HOUR			/* implicit registrations, and those that have ended */
#define LOST_REMEMBERED (7 * USECS_PER_DAY) /* registrations of lost workers */
#define MAX_FORGET 500						/* registrations per transaction */

PG_FUNCTION_INFO_V1(taskq_worker_lives_until);

/* the row ------------------------------------------------------------------ */

/*
 * Find an instance's row with a snapshot.  The caller acts as the owner and has opened
 * the table.
 */
bool
WorkerFindRowAsOf(Store *store, const WorkerName *name, Snapshot snapshot)
{
	ScanKeyData keys[2];

	AssertOwner();
	Assert(StoreIs(store, REL_WORKERS));
	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(name->worker_id));
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
						   IsDefaultInstance(name) ? keys[0].sk_argument : CStringGetTextDatum(name->instance_id));
	return StoreFind(store, CatalogRel(REL_WORKERS_PKEY), 2, keys, snapshot);
}

bool
WorkerFindRow(Store *store, const WorkerName *name)
{
	Snapshot snapshot = StoreSnapshot();
	bool	 found = WorkerFindRowAsOf(store, name, snapshot);

	UnregisterSnapshot(snapshot);
	return found;
}

/* Return a worker's own lease, or NO_MICROSECONDS. */
int64
WorkerLeaseOf(TupleTableSlot *slot)
{
	return SlotMicroseconds(slot, Anum_external_workers_lease);
}

static void
ReadWorker(ExternalWorker *worker, TupleTableSlot *slot)
{
	WorkerRow row;

	RowReadWorker(&row, slot);
	worker->worker_id = row.worker_id;
	worker->base.task_types = row.task_types;
	worker->base.queues = row.queues;
	worker->base.capabilities = row.capabilities;
	worker->base.tenants = row.tenants;
	worker->base.max_concurrent_jobs = row.max_concurrent_jobs;
	worker->lease = row.lease;
	worker->queue_weights = row.queue_weights;
	worker->base.weights = QueueWeightsRead(row.queue_weights);
	worker->base.share = (ShareScope){ SHARE_WORKER, WorkerNameOf(row.worker_id, row.instance_id).key };
	worker->draining = row.draining;
	worker->registered_by = row.registered_by;
	worker->registered_at = row.registered_at;
	worker->ended_at = row.ended_at;
	if (worker->ended_at != 0)
		worker->standing = WORKER_ENDED;
	else
	{
		worker->standing = row.implicit ? WORKER_IMPLICIT : WORKER_REGISTERED;
		worker->base.owner = row.registered_by;
	}
}

/*
 * At commit, tell all sessions that a registration has changed, and wake a call that
 * waits for jobs of this worker.
 */
void
RegistrationChanged(const WorkerName *name)
{
	CacheInvalidateRelcacheByRelid(CatalogRel(REL_WORKERS));
	CommandCounterIncrement();
	WakeWorker(name->key);
}

/*
 * Return how long after its last call an external worker counts as alive.  That is
 * twice its lease, or twice taskq.lease if it has no lease of its own.
 */
int64
WorkerLife(int64 lease)
{
	return 2 * (lease == NO_MICROSECONDS ? (int64) taskq_lease * 1000 : lease);
}

/*
 * Return the last moment at which the instance of this row counts as alive.  At that
 * moment it still is alive, as in the view taskq.workers.
 */
TimestampTz
WorkerLivesUntil(TupleTableSlot *slot)
{
	return DatumGetTimestampTz(SlotDatum(slot, Anum_external_workers_last_seen)) + WorkerLife(WorkerLeaseOf(slot));
}

/*
 * Return the last moment at which a worker counts as alive, from the moment when it
 * was last seen and its lease.  For queries and views.
 */
Datum
taskq_worker_lives_until(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(PG_GETARG_TIMESTAMPTZ(0) +
						  WorkerLife(PG_ARGISNULL(1) ? NO_MICROSECONDS : IntervalMicroseconds(PG_GETARG_INTERVAL_P(1))));
}

void
WorkerInsertRow(Store *store, const WorkerName *name, const ExternalWorker *worker, bool implicit, Oid registered_by,
				TimestampTz registered_at, TimestampTz now)
{
	WorkerRow row = {
		.worker_id = (char *) name->worker_id,
		.instance_id = (char *) name->instance_id,
		.task_types = worker->base.task_types,
		.queues = worker->base.queues,
		.capabilities = worker->base.capabilities,
		.tenants = worker->base.tenants,
		.max_concurrent_jobs = worker->base.max_concurrent_jobs,
		.lease = worker->lease,
		.implicit = implicit,
		.registered_by = registered_by,
		.registered_at = registered_at,
		.last_seen = now,
		.queue_weights = worker->queue_weights,
	};

	RowWriteWorker(&row, StoreNewRow(store));
	StoreInsert(store);
}

/* by name ------------------------------------------------------------------ */

/*
 * Lock a name for a claim; returns false if it is being registered at this
 * moment. A registration waits for claims that are under way, and applies to all
 * later ones. A claim does not wait.
 */
bool
WorkerHold(const WorkerName *name)
{
	return LockKey(LOCK_REGISTRATION, name->key, false, false);
}

void
WorkerRelease(const WorkerName *name)
{
	UnlockKey(LOCK_REGISTRATION, name->key, false);
}

/*
 * Block claims for a name until the transaction ends.  Wait for claims that are under
 * way, or, if "wait" is false, do nothing in that case.  A claim that passes over the
 * name in the meantime looks again when the transaction has ended.
 */
void
WorkerHoldOff(const WorkerName *name, bool wait)
{
	WakeWorker(name->key);
	(void) LockKey(LOCK_REGISTRATION, name->key, true, wait);
}

/* Read the registration of an instance. */
void
WorkerFind(const WorkerName *name, ExternalWorker *worker)
{
	OwnerScope scope;
	Store	   store;

	memset(worker, 0, sizeof(*worker));
	worker->standing = WORKER_UNKNOWN;
	worker->lease = NO_MICROSECONDS;
	OwnerEnter(&scope);
	StoreOpenRel(&store, REL_WORKERS);
	if (WorkerFindRow(&store, name))
		ReadWorker(worker, store.found);
	StoreClose(&store, false);
	OwnerLeave(&scope);
}

/*
 * The workers that may be given jobs: those that are alive, not draining and not
 * unregistered.  The result is allocated in the current context.
 */
ExternalWorker *
WorkersAlive(int *n)
{
	OwnerScope		scope;
	Store			store;
	Snapshot		snapshot;
	TupleTableSlot *slot;
	TableScanDesc	scan;
	TimestampTz		now = ClockNow();
	int				most = 16;
	ExternalWorker *workers = palloc(sizeof(ExternalWorker) * most);

	*n = 0;
	OwnerEnter(&scope);
	StoreOpenRel(&store, REL_WORKERS);
	snapshot = StoreSnapshot();
	slot = table_slot_create(store.rel, NULL);
	scan = table_beginscan_compat(store.rel, snapshot);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		ExternalWorker worker = { 0 };

		slot_getallattrs(slot);
		ReadWorker(&worker, slot);
		if (worker.draining || worker.standing == WORKER_ENDED || now > WorkerLivesUntil(slot))
			continue;
		if (*n == most)
			workers = repalloc(workers, sizeof(ExternalWorker) * (most *= 2));
		workers[(*n)++] = worker;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	StoreClose(&store, false);
	OwnerLeave(&scope);
	return workers;
}

void
WorkerNotRegistered(const WorkerName *name)
{
	bool has_instances = WorkerHasInstances(name->worker_id, false);

	ereport(ERROR,
			(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
			 errmsg("%s is not registered", WorkerNameText(name)),
			 has_instances ? errhint("Give the instance_id of a registered instance, or register this one with taskq.register_worker().") : errhint("Register it with taskq.register_worker().")));
}

/*
 * May the caller act for a worker?  This is allowed to members of the role that
 * registered it, and to roles with this kind of access.  If that role was dropped, the
 * registration has no members.
 */
bool
WorkerIsOf(Oid registered_by, Oid caller, AccessKind kind)
{
	return (OidIsValid(registered_by) && has_privs_of_role(caller, registered_by)) || AccessHas(caller, kind);
}

/* Does a worker belong to a role that the caller is not a member of? */
bool
WorkerIsOfOthers(const ExternalWorker *worker, Oid caller)
{
	if (worker->standing == WORKER_UNKNOWN || worker->standing == WORKER_ENDED)
		return false;
	return !WorkerIsOf(worker->registered_by, caller, ACCESS_OPERATOR);
}

/* The detail of an error that names the role to which a worker belongs; for ereport(). */
int
WorkerDetailRole(const WorkerName *name, Oid registered_by)
{
	if (IsDefaultInstance(name))
		return errdetail("It was registered by role \"%s\".", RoleNameOrOid(registered_by));
	return errdetail("The worker was registered by role \"%s\".", RoleNameOrOid(registered_by));
}

/* Raise an error unless the caller may act for the worker. */
void
WorkerCheckOwner(const WorkerName *name, Oid registered_by, Oid caller, const char *what, AccessKind kind)
{
	if (WorkerIsOf(registered_by, caller, kind))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to %s %s", what, WorkerNameText(name)),
			 WorkerDetailRole(name, registered_by),
			 errhint("A member of that role may, if need be after SET ROLE, or a role with the access \"%s\".", AccessName(kind))));
}

/*
 * Forget some old registrations: implicit ones an hour after the worker's last call,
 * ended ones an hour after their end, and those of lost workers after a week.  A
 * lost worker's id may never be used again, for example if it was made of a process
 * id.  Returns true if there may be more.
 */
bool
WorkerForgetOld(void)
{
	Oid			types[] = { TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID };
	TimestampTz now = ClockNow();
	Datum		values[] = { TimestampTzGetDatum(now - REMEMBERED), TimestampTzGetDatum(now - LOST_REMEMBERED), Int32GetDatum(MAX_FORGET) };
	uint64		n;

	n = OwnerRun("DELETE FROM taskq.external_workers WHERE ctid = ANY (ARRAY("
				 " SELECT w.ctid FROM taskq.external_workers w"
				 " WHERE (implicit AND last_seen < $1 OR ended_at < $1"
				 "    OR taskq.worker_lives_until(last_seen, lease) < $2)"
				 "  AND NOT EXISTS (SELECT FROM taskq.jobs j WHERE j.gate = 'r' AND j.instance_id = w.instance_id COLLATE \"C\" AND j.worker_id = w.worker_id)"
				 " LIMIT $3 FOR UPDATE OF w SKIP LOCKED))",
				 lengthof(types), types, values, NULL);
	if (n > 0)
		CacheInvalidateRelcacheByRelid(CatalogRel(REL_WORKERS));
	return n == MAX_FORGET;
}
