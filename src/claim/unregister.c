/*
 * unregister.c
 *	  Workers that are to be given no more jobs: drain_worker(), after which
 *	  they may finish those they have, and unregister_worker(), which gives these
 *	  back.
 *
 * A registration is the business of the role that made it, of that role's
 * members, and of those who look after the queue.  One that has ended stays for
 * an hour, marked, so that its id is not taken for one that nobody has heard of.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "claim/lease.h"
#include "claim/register.h"
#include "claim/unregister.h"
#include "config/roles.h"
#include "job/access.h"
#include "shared/shmem.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_unregister_worker);
PG_FUNCTION_INFO_V1(taskq_drain_worker);

/* A worker is its registrar's, and of those with this kind of access. */
bool
WorkerIsOf(Oid registered_by, Oid caller, const char *access)
{
	return has_privs_of_role(caller, registered_by) || AccessHas(caller, access);
}

/*
 * Is it the worker of a role that the caller is no member of?  The id of a session
 * is its own, whichever role it has taken on.
 */
bool
WorkerIsOfOthers(const ExternalWorker *worker)
{
	if (worker->of_session || worker->standing == WORKER_UNKNOWN || worker->standing == WORKER_ENDED)
		return false;
	return !WorkerIsOf(worker->registered_by, GetUserId(), "operator");
}

/* The caller may do this to a worker, or an error. */
void
WorkerCheckOwner(const char *worker_id, Oid registered_by, Oid caller, const char *what, const char *access)
{
	if (WorkerIsOf(registered_by, caller, access))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to %s worker \"%s\"", what, worker_id),
			 errdetail("It was registered by role \"%s\".", RoleNameOrOid(registered_by)),
			 errhint("A member of that role may, or a role with the access \"%s\".", access)));
}

/* Who registered a worker that is in force?  False: there is none. */
static bool
FindRegistrar(const char *worker_id, Oid *registered_by)
{
	Oid		   types[] = { TEXTOID };
	Datum	   values[] = { CStringGetTextDatum(worker_id) };
	OwnerScope scope;
	bool	   found;
	bool	   isnull;

	OwnerEnterSpi(&scope);
	found = OwnerExecute("SELECT registered_by FROM taskq.external_workers WHERE worker_id = $1 AND ended_at IS NULL",
						 1, types, values, NULL) > 0;
	if (found)
		*registered_by = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	OwnerLeaveSpi(&scope);
	return found;
}

/* Change the row, unless it has become another's; false: there is none any more. */
static bool
Mark(const char *worker_id, Oid registered_by, const char *set)
{
	Oid		   types[] = { TEXTOID, REGROLEOID, TIMESTAMPTZOID };
	Datum	   values[3];
	OwnerScope scope;
	bool	   found;

	values[0] = CStringGetTextDatum(worker_id);
	values[1] = ObjectIdGetDatum(registered_by);
	values[2] = TimestampTzGetDatum(ClockNow());
	WorkerHoldOff(worker_id);
	OwnerEnterSpi(&scope);
	found = OwnerExecute(set, 3, types, values, NULL) > 0;
	OwnerLeaveSpi(&scope);
	if (found)
		RegistrationChanged(worker_id);
	return found;
}

Datum
taskq_unregister_worker(PG_FUNCTION_ARGS)
{
	char *worker_id;
	Oid	  registered_by;

	CheckArgCount(fcinfo, 1);
	CheckWritable("taskq.unregister_worker()");
	worker_id = ArgName(fcinfo, 0, "worker_id");
	if (!FindRegistrar(worker_id, &registered_by))
		PG_RETURN_BOOL(false);
	WorkerCheckOwner(worker_id, registered_by, GetUserId(), "unregister", "admin");
	if (!Mark(worker_id, registered_by,
			  "UPDATE taskq.external_workers SET ended_at = $3, draining = false"
			  " WHERE worker_id = $1 AND registered_by = $2 AND ended_at IS NULL"))
		PG_RETURN_BOOL(false);
	(void) LeaseReleaseAll(worker_id);
	PG_RETURN_BOOL(true);
}

/* Ask a background worker to finish its job and leave; was there one? */
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

/* Background workers are nobody's own. */
static void
CheckMayDrainBackground(const char *worker_id)
{
	if (AccessHas(GetUserId(), "operator"))
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
	char *worker_id;
	Oid	  registered_by;

	CheckArgCount(fcinfo, 1);
	CheckWritable("taskq.drain_worker()");
	worker_id = ArgWorkerId(fcinfo, 0, "worker_id");
	if (IsServerWorkerId(worker_id))
	{
		CheckMayDrainBackground(worker_id);
		if (!DrainBackground(worker_id))
			WorkerNotRunning(worker_id);
		PG_RETURN_BOOL(true);
	}
	if (!FindRegistrar(worker_id, &registered_by))
		WorkerNotRegistered(worker_id);
	WorkerCheckOwner(worker_id, registered_by, GetUserId(), "drain", "operator");
	if (!Mark(worker_id, registered_by,
			  "UPDATE taskq.external_workers SET draining = true"
			  " WHERE worker_id = $1 AND registered_by = $2 AND ended_at IS NULL"))
		WorkerNotRegistered(worker_id);
	PG_RETURN_BOOL(true);
}
