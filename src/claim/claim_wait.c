/*
 * claim_wait.c
 *	  Calls that claim jobs or wait for them: which worker they are for, and how
 *	  they wait until a commit may have brought a job.
 */
#include "taskq.h"

#include <limits.h>

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/names.h"
#include "config/stale.h"
#include "config/tenant.h"
#include "claim/claim_wait.h"
#include "claim/standing.h"
#include "shared/locks.h"
#include "shared/shmem.h"
#include "shared/wait.h"
#include "store/catalog.h"

/*
 * Refuse REPEATABLE READ and SERIALIZABLE.  There, a claim would fail whenever it
 * met a row that another transaction has just taken, so always refuse instead of
 * failing now and then.
 */
void
ClaimCheckIsolation(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("jobs cannot be claimed in a transaction of isolation level %s",
						XactIsoLevel == XACT_SERIALIZABLE ? "SERIALIZABLE" : "REPEATABLE READ"),
				 errhint("Claim in a transaction of its own, or use READ COMMITTED.")));
}

/*
 * Set up a call: read which worker it claims for, and to which types it is restricted.
 * The first argument is worker_id, argument instance_arg is instance_id, and the next one is
 * tenants.
 */
void
ClaimPrepare(FunctionCallInfo fcinfo, ClaimCall *call, ArrayType *task_types, int instance_arg)
{
	memset(call, 0, sizeof(*call));
	call->name = WorkerNameOf(PG_ARGISNULL(0) ? SessionWorkerId() : ArgName(fcinfo, 0, "worker_id"),
							  ArgNameOrNull(fcinfo, instance_arg, "instance_id"));
	StandingCheckSession(&call->name);
	call->narrow = task_types;
	call->tenants = ArgSomeNamesOrNull(fcinfo, instance_arg + 1, "tenants");
	call->binds = TenantsBind(call->tenants);
	call->request.routes = &call->routes;
	call->request.function = fcinfo->flinfo->fn_oid;
	call->request.worker_id = call->name.worker_id;
	call->request.external = &call->name;
	call->request.lease = NO_MICROSECONDS;
}

/* Read the worker's registration and routes as they are now. */
void
ClaimUpdateRoutes(ClaimCall *call)
{
	KnownWorker *known = KnownWorkerFind(&call->name, call->narrow, call->tenants, call->result != NULL);

	if (known->worker.standing == WORKER_REGISTERED)
	{
		if (call->registered_at != 0 && call->registered_at != known->worker.registered_at)
			StandingRefuseReplaced(&call->name, known->worker.registered_at);
		call->registered_at = known->worker.registered_at;
	}
	call->known = known;
	call->routes = known->routes;
	call->request.worker = &known->worker.base;
	call->request.worker_now = KnownWorkerNow;
	call->request.known = known;
	call->request.place = &known->place;
	call->request.worker_lease = known->worker.lease;
	call->request.config_version = known->config_version;
}

/*
 * Begin to wait for jobs of the worker's current routes, or, unless limit_key is 0,
 * for that limit.
 */
static void
BeginWait(ClaimCall *call, uint64 limit_key)
{
	do
	{
		AcceptInvalidationMessages();
		ClaimUpdateRoutes(call);
		WaitBegin(&call->routes, call->name.key, limit_key);
	} while (call->request.config_version != ConfigVersion());
}

/* Tell the user, once in a session, that waiting is slow without preloading. */
void
ClaimNoteBlindWait(void)
{
	static bool said = false;

	if (ShmemPresent() || said)
		return;
	said = true;
	ereport(NOTICE,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("taskq is not preloaded, so a waiting claim looks once a second"),
			 errhint("Put shared_preload_libraries = 'taskq' into postgresql.conf and restart the server.")));
}

/* Is the worker draining?  If so, it need not wait, and is told so each time. */
static bool
LearnsThatItDrains(ClaimCall *call)
{
	KnownWorker *known = call->known;

	if (known == NULL || !known->worker.draining)
		return false;
	ereport(NOTICE,
			(errmsg("%s is draining and is given no more jobs", WorkerNameText(&call->name)),
			 errhint("Finish those that it has, and end. A program sees that it drains by taskq.explain_claim().")));
	return true;
}

/* Raise an error if the right to call has been revoked while the call waited. */
static void
CheckMayCall(Oid function)
{
	if (!MayExecute_compat(function, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, get_func_prokind(function) == PROKIND_PROCEDURE ? OBJECT_PROCEDURE : OBJECT_FUNCTION,
					   get_func_name(function));
}

/*
 * Look for a job, and sleep until a commit may have brought one; returns true if
 * there is one.  A worker that waits for a limit is not woken for new jobs.  So when
 * a look finds that the worker has reached or left a limit, register the wait again
 * and repeat the look.
 */
bool
ClaimWait(ClaimCall *call, LookFunction look, TimestampTz deadline, bool between_transactions)
{
	uint64 limit_key = call->request.limit_key;
	bool   promised = false;

	for (;;)
	{
		long left = ClockMillisecondsUntil(deadline, INT_MAX);
		bool found;

		BeginWait(call, limit_key);
		WaitCheckClient();
		found = look(call);
		if (found)
			WaitCheckClient();
		if (found || left <= 0 || LearnsThatItDrains(call))
			return found;
		if (call->request.limit_key != limit_key)
		{
			/* the job that this worker was woken for goes to another worker */
			if ((WaitEnd() || promised) && limit_key == 0 && ShmemMyDatabase() != NULL)
				ShmemWakeScheduler(ShmemMyDatabase());
			limit_key = call->request.limit_key;
			promised = false;
			continue;
		}
		if (between_transactions)
			SPI_commit();
		WaitSleep(left);
		CHECK_FOR_INTERRUPTS();
		CatalogRecheck();
		CheckMayCall(call->request.function);
		promised = WaitEnd() && limit_key == 0;
	}
}
