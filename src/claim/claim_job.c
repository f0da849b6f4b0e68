/*
 * claim_job.c
 *	  claim_job() and claim_jobs(): claims by external workers.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/inval.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/signature.h"
#include "claim/claim.h"
#include "claim/claim_wait.h"
#include "claim/known_worker.h"
#include "claim/external_worker.h"
#include "claim/lease.h"
#include "config/handler.h"
#include "shared/shmem.h"
#include "shared/wait.h"

PG_FUNCTION_INFO_V1(taskq_claim_job);
PG_FUNCTION_INFO_V1(taskq_claim_jobs);

/* Add a claimed job to the result. */
static void
ReturnJob(const TaskqJob *job, void *arg)
{
	ReturnSetInfo *result = arg;
	HeapTuple	   tuple = JobTuple(job, result->setDesc);

	tuplestore_puttuple(result->setResult, tuple);
	heap_freetuple(tuple);
}

static bool
SchedulerRuns(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	return db != NULL && (db->scheduler_pid != 0 || db->rests);
}

/*
 * Claim.  If no scheduler runs and there is no job, end leases that are over and
 * try again.
 */
static int
Claim(ClaimCall *call)
{
	int claimed;

	if (!WorkerHold(&call->name))
		return 0;
	AcceptInvalidationMessages();
	ClaimUpdateRoutes(call);
	claimed = ClaimStamped(&call->request, call->most, ReturnJob, call->result);
	if (claimed == 0 && !SchedulerRuns())
	{
		LeaseSweep sweep;

		LeaseFindOverdue(&sweep, TASKQ_PIECE);
		(void) LeaseEndSome(&sweep);
		claimed = ClaimStamped(&call->request, call->most, ReturnJob, call->result);
	}
	if (claimed == 0)
		WorkerRelease(&call->name);
	call->claimed = claimed;
	return claimed;
}

static bool
LookByClaim(ClaimCall *call)
{
	return Claim(call) > 0;
}

/*
 * Claim, and if there is no job, wait for a commit that may bring one.  During the
 * wait no table is open and no lock of taskq is held.  But the caller's statement
 * keeps its snapshot, so taskq.max_wait limits the wait.
 */
static void
ClaimOrWait(ClaimCall *call, int64 wait)
{
	int			  claimed = Claim(call);
	volatile bool failed = true;

	if (claimed > 0 || wait <= 0 || call->binds)
		return;
	ClaimNoteBlindWait();
	PG_TRY();
	{
		(void) ClaimWait(call, LookByClaim, ClockNow() + Min(wait, (int64) taskq_max_wait * 1000), false);
		failed = false;
	}
	PG_FINALLY();
	{
		WaitEndOfClaim(failed);
	}
	PG_END_TRY();
}

/* Did this session already warn about this type?  Only the last types are remembered. */
static bool
WarnedOf(const char *task_type)
{
	static char warned[64][TASKQ_NAME_MAX + 1];
	static int	n = 0;

	for (int i = 0; i < lengthof(warned); i++)
		if (strcmp(warned[i], task_type) == 0)
			return true;
	strlcpy(warned[n++ % lengthof(warned)], task_type, TASKQ_NAME_MAX + 1);
	return false;
}

/*
 * Warn about types that nobody has registered, as mostly their names are wrong, and
 * about types that only background workers are given.  They bring no job.
 */
static void
WarnOfTypes(ArrayType *task_types)
{
	int	   n;
	char **types;

	if (task_types == NULL)
		return;
	types = NamesToStrings(task_types, &n, "task_types");
	for (int i = 0; i < n; i++)
	{
		const TaskqHandler *handler = HandlerFind(types[i]);

		if (handler == NULL && !WarnedOf(types[i]))
			ereport(WARNING,
					(errcode(ERRCODE_TQ_NOT_REGISTERED),
					 errmsg("task type \"%s\" is not registered, so no job of it can be claimed", types[i]),
					 errhint("Correct the name, or register the type with taskq.register_handler().")));
		else if (handler != NULL && handler->signature != NULL && !handler->also_external && !WarnedOf(types[i]))
			ereport(WARNING,
					(errcode(ERRCODE_TQ_NOT_REGISTERED),
					 errmsg("task type \"%s\" is handled in the server, so no job of it can be claimed", types[i]),
					 errhint("To let external workers take it too, register it with also_external => true.")));
	}
}

static void
ClaimBySql(FunctionCallInfo fcinfo, int most, int types_arg)
{
	ClaimCall  call;
	ArrayType *task_types = ArgSomeNamesOrNull(fcinfo, types_arg, "task_types");
	int64	   wait = ArgMicroseconds(fcinfo, types_arg + 1, "wait", 0);
	int64	   lease = ArgMicroseconds(fcinfo, types_arg + 2, "lease", USECS_PER_SEC);

	ClaimCheckIsolation();
	InitMaterializedSRF(fcinfo, MAT_SRF_BLESS);
	WarnOfTypes(task_types);
	ClaimPrepare(fcinfo, &call, task_types, types_arg + 3);
	call.most = most;
	call.result = (ReturnSetInfo *) fcinfo->resultinfo;
	call.request.lease = lease;
	ClaimOrWait(&call, wait == NO_MICROSECONDS ? 0 : wait);

	/*
	 * Write the worker's row last, so that nothing is locked while the claim waits.
	 * If the id was being registered at the same time, write nothing.
	 */
	if (call.known != NULL)
		KnownWorkerHasClaimed(call.known, call.claimed > 0);
}

Datum
taskq_claim_job(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	CheckWritable("taskq.claim_job()");
	ClaimBySql(fcinfo, 1, 1);
	return (Datum) 0;
}

Datum
taskq_claim_jobs(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	CheckWritable("taskq.claim_jobs()");
	ClaimBySql(fcinfo, ArgInt(fcinfo, 1, "max_jobs", 1, TASKQ_MAX_BATCH), 2);
	return (Datum) 0;
}
