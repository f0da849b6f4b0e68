/*
 * unregister_worker.c
 *	  Ending instances of workers: drain_worker() lets one finish its jobs but gives it
 *	  no more, and unregister_worker() also gives its jobs back.
 *
 * Members of the role that made a registration may end it, and so may admins.  An
 * ended registration stays for an hour, marked, so that its id is not taken for an
 * unknown one.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/capability.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/signature.h"
#include "claim/lease.h"
#include "claim/external_worker.h"
#include "claim/standing.h"
#include "config/roles.h"
#include "shared/shmem.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_unregister_worker);
PG_FUNCTION_INFO_V1(taskq_drain_worker);

/* Find an instance; returns false if no registration of it is in force. */
static bool
FindRegistered(const WorkerName *name, ExternalWorker *worker)
{
	WorkerFind(name, worker);
	return worker->standing == WORKER_REGISTERED || worker->standing == WORKER_IMPLICIT;
}

/*
 * Change the row, unless another role owns it by now; returns false if there is no
 * such row any more.
 */
static bool
Mark(const WorkerName *name, Oid registered_by, const char *set)
{
	Oid	  types[] = { TEXTOID, REGROLEOID, TIMESTAMPTZOID, TEXTOID };
	Datum values[4];
	bool  found;

	values[0] = CStringGetTextDatum(name->worker_id);
	values[1] = ObjectIdGetDatum(registered_by);
	values[2] = TimestampTzGetDatum(ClockNow());
	values[3] = CStringGetTextDatum(name->instance_id);
	WorkerHoldOff(name, false);
	found = OwnerRun(set, 4, types, values, NULL) > 0;
	if (found)
		RegistrationChanged(name);
	return found;
}

Datum
taskq_unregister_worker(PG_FUNCTION_ARGS)
{
	WorkerName	   name;
	ExternalWorker worker;

	CheckCall(fcinfo);
	CheckWritable("taskq.unregister_worker()");
	name = WorkerNameOf(ArgName(fcinfo, 0, "worker_id"), ArgNameOrNull(fcinfo, 1, "instance_id"));
	StandingCheckInstance(&name);
	if (!FindRegistered(&name, &worker))
		PG_RETURN_BOOL(false);
	WorkerCheckOwner(&name, worker.registered_by, GetUserId(), "unregister", ACCESS_ADMIN);
	if (!Mark(&name, worker.registered_by,
			  "UPDATE taskq.external_workers SET ended_at = $3, draining = false"
			  " WHERE worker_id = $1 AND instance_id = $4 AND registered_by = $2 AND ended_at IS NULL"))
		PG_RETURN_BOOL(false);
	ereport(LOG,
			(errmsg("%s with %s is unregistered", WorkerNameText(&name), CapabilitiesInLog(worker.base.capabilities, false))));

	/* an admin ends everything that runs under the id, also what it was given to before it passed to another role */
	(void) LeaseReleaseAll(&name, AccessHas(GetUserId(), ACCESS_ADMIN) ? InvalidOid : worker.registered_by);
	PG_RETURN_BOOL(true);
}

/* Ask a background worker to finish its job and leave; returns false if there is none. */
static bool
DrainBackground(const char *worker_id)
{
	bool found = false;

	for (int i = 0; ShmemPresent() && i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

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

TASKQ_NORETURN static void
WorkerNotRunning(const char *worker_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
			 errmsg("background worker \"%s\" does not run", worker_id),
			 errhint("Those that run are in the view taskq.workers.")));
}

/*
 * Raise an error unless the caller may drain background workers, which belong to no
 * role.
 */
static void
CheckMayDrainBackground(const char *worker_id)
{
	if (AccessHas(GetUserId(), ACCESS_OPERATOR))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to drain worker \"%s\"", worker_id),
			 errdetail("It is a background worker."),
			 errhint("A role with the access \"operator\" may.")));
}

Datum
taskq_drain_worker(PG_FUNCTION_ARGS)
{
	char		  *worker_id;
	WorkerName	   name;
	ExternalWorker worker;

	CheckCall(fcinfo);
	CheckWritable("taskq.drain_worker()");
	worker_id = ArgWorkerId(fcinfo, 0, "worker_id");
	name = WorkerNameOf(worker_id, ArgNameOrNull(fcinfo, 1, "instance_id"));
	StandingCheckInstance(&name);
	if (IsServerWorkerId(worker_id))
	{
		CheckMayDrainBackground(worker_id);
		if (!DrainBackground(worker_id))
			WorkerNotRunning(worker_id);
		PG_RETURN_BOOL(true);
	}
	if (!FindRegistered(&name, &worker))
		StandingRefuseUnknown(&name);
	WorkerCheckOwner(&name, worker.registered_by, GetUserId(), "drain", ACCESS_OPERATOR);
	if (!Mark(&name, worker.registered_by,
			  "UPDATE taskq.external_workers SET draining = true"
			  " WHERE worker_id = $1 AND instance_id = $4 AND registered_by = $2 AND ended_at IS NULL"))
		StandingRefuseUnknown(&name);
	ereport(LOG,
			(errmsg("%s with %s drains", WorkerNameText(&name), CapabilitiesInLog(worker.base.capabilities, false))));
	PG_RETURN_BOOL(true);
}
