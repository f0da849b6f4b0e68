/*
 * claim_job.c
 *	  claim_job(), claim_jobs() and wait_for_job(): claims by external workers.
 */
#include "taskq.h"

#include <limits.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guc.h"
#include "claim/claim.h"
#include "claim/claimant.h"
#include "claim/lease.h"
#include "claim/register.h"
#include "claim/standing.h"
#include "config/handler.h"
#include "shared/locks.h"
#include "shared/shmem.h"
#include "shared/wait.h"
#include "store/catalog.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_claim_job);
PG_FUNCTION_INFO_V1(taskq_claim_jobs);
PG_FUNCTION_INFO_V1(taskq_wait_for_job);

/* A call of claim_job() or claim_jobs(). */
typedef struct ClaimCall
{
	const char	  *worker_id;
	ArrayType	  *narrow;	 /* the call's task_types */
	Claimant	  *claimant; /* the worker, as it was at the last look; NULL: none yet */
	RouteSet	   routes;
	ClaimRequest   request;
	int			   most;
	int			   claimed;
	ReturnSetInfo *result; /* NULL in wait_for_job(), which names no types */
} ClaimCall;

/*
 * Under REPEATABLE READ a claim would fail at the first row that somebody else
 * has just taken: said at once instead of now and then.
 */
static void
CheckIsolation(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("jobs cannot be claimed in a transaction of isolation level %s",
						XactIsoLevel == XACT_SERIALIZABLE ? "SERIALIZABLE" : "REPEATABLE READ"),
				 errhint("Claim in a transaction of its own, or use READ COMMITTED.")));
}

/* Read what the worker may be given now: its registration, and its routes. */
static void
UpdateRoutes(ClaimCall *call)
{
	Claimant *claimant = ClaimantFind(call->worker_id, call->narrow, call->result != NULL);

	call->claimant = claimant;
	call->routes = claimant->routes;
	call->request.worker = &claimant->worker.base;
	call->request.max_concurrent_jobs = claimant->worker.max_concurrent_jobs;
	call->request.worker_lease = claimant->worker.lease;
	call->request.catalog_version = claimant->catalog_version;
}

/* Wait for jobs of the worker's routes as they are now, or for one of its permits. */
static void
BeginWait(ClaimCall *call, bool at_limit)
{
	do
	{
		AcceptInvalidationMessages();
		UpdateRoutes(call);
		WaitBegin(&call->routes, NameKey(call->worker_id), at_limit);
	} while (call->request.catalog_version != CatalogVersion());
}

/* Put a claimed job into the result. */
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

/* Claim; where no scheduler ends leases that are over, do it for want of jobs. */
static int
Claim(ClaimCall *call)
{
	int claimed;

	if (!WorkerHold(call->worker_id))
		return 0;
	AcceptInvalidationMessages();
	UpdateRoutes(call);
	claimed = ClaimStamped(&call->request, call->most, ReturnJob, call->result);
	if (claimed == 0 && !SchedulerRuns())
	{
		LeaseSweep sweep;

		LeaseFindOverdue(&sweep, TASKQ_PIECE);
		(void) LeaseEndSome(&sweep);
		claimed = ClaimStamped(&call->request, call->most, ReturnJob, call->result);
	}
	if (claimed == 0)
		WorkerRelease(call->worker_id);
	call->claimed = claimed;
	return claimed;
}

/* Say once a session that waiting is slow without preload. */
static void
NoteBlindWait(void)
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

/* A worker that drains need not wait, and is told so each time that it would. */
static bool
LearnsThatItDrains(ClaimCall *call)
{
	Claimant *claimant = call->claimant;

	if (claimant == NULL || !claimant->worker.draining)
		return false;
	ereport(NOTICE,
			(errmsg("worker \"%s\" is draining and is given no more jobs", call->worker_id),
			 errhint("Finish those that it has, and end. A program sees that it drains by taskq.explain_claim().")));
	return true;
}

/* What a waiting call looks for: true when it is there. */
typedef bool (*LookFunction)(ClaimCall *call);

/*
 * Look, and sleep until a commit may have brought something; was it there?
 * Who waits at the limit of a worker is not told of jobs, so when a look finds
 * that this has changed, it is said anew what one waits for, and looked again.
 */
static bool
LookAndSleep(ClaimCall *call, LookFunction look, TimestampTz deadline, bool between_transactions)
{
	bool at_limit = call->request.at_limit;
	bool promised = false;

	for (;;)
	{
		long left = ClockMillisecondsUntil(deadline, INT_MAX);
		bool found;

		BeginWait(call, at_limit);
		WaitCheckClient();
		found = look(call);
		if (found)
			WaitCheckClient();
		if (found || left <= 0 || LearnsThatItDrains(call))
			return found;
		if (call->request.at_limit != at_limit)
		{
			/* a job that was promised is for somebody else */
			if ((WaitEnd() || promised) && !at_limit && ShmemMyDatabase() != NULL)
				ShmemWakeScheduler(ShmemMyDatabase());
			at_limit = call->request.at_limit;
			promised = false;
			continue;
		}
		if (between_transactions)
			SPI_commit();
		WaitSleep(left);
		CHECK_FOR_INTERRUPTS();
		CatalogRecheck();
		promised = WaitEnd() && !at_limit;
	}
}

static bool
LookByClaim(ClaimCall *call)
{
	return Claim(call) > 0;
}

/*
 * Claim, and if there is nothing wait for a commit that brings something.
 * While asleep no table is open and no lock of taskq's is held; the caller's
 * statement keeps its snapshot, so the wait is bounded by taskq.max_wait.
 */
static void
ClaimOrWait(ClaimCall *call, int64 wait)
{
	int claimed = Claim(call);

	if (claimed > 0 || wait <= 0)
		return;
	NoteBlindWait();
	PG_TRY();
	{
		(void) LookAndSleep(call, LookByClaim, ClockNow() + Min(wait, (int64) taskq_max_wait * 1000), false);
	}
	PG_FINALLY();
	{
		WaitEndOfClaim();
	}
	PG_END_TRY();
}

/* Was this type named in a warning before in this session?  The last ones are known. */
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

/* A type that nobody has registered brings no job: mostly its name is wrong. */
static void
WarnOfUnregistered(ArrayType *task_types)
{
	int	   n;
	char **types;

	if (task_types == NULL)
		return;
	types = NamesToStrings(task_types, &n, "task_types");
	for (int i = 0; i < n; i++)
		if (HandlerFind(types[i]) == NULL && !WarnedOf(types[i]))
			ereport(WARNING,
					(errcode(ERRCODE_TQ_NOT_REGISTERED),
					 errmsg("task type \"%s\" is not registered, so no job of it can be claimed", types[i]),
					 errhint("Correct the name, or register the type with taskq.register_handler().")));
}

/* Who claims, and for which types at most? */
static void
PrepareCall(FunctionCallInfo fcinfo, ClaimCall *call, ArrayType *task_types)
{
	memset(call, 0, sizeof(*call));
	call->worker_id = PG_ARGISNULL(0) ? SessionWorkerId() : ArgName(fcinfo, 0, "worker_id");
	if (strcmp(call->worker_id, SessionWorkerId()) != 0)
		StandingRefuseReserved(call->worker_id);
	call->narrow = task_types;
	call->request.routes = &call->routes;
	call->request.worker_id = call->worker_id;
	call->request.lease = NO_MICROSECONDS;
}

static void
ClaimBySql(FunctionCallInfo fcinfo, int most, int types_arg)
{
	ClaimCall  call;
	ArrayType *task_types = ArgNamesOrNull(fcinfo, types_arg, "task_types");
	int64	   wait = ArgMicroseconds(fcinfo, types_arg + 1, "wait", 0);
	int64	   lease = ArgMicroseconds(fcinfo, types_arg + 2, "lease", USECS_PER_SEC);

	CheckIsolation();
	InitMaterializedSRF(fcinfo, MAT_SRF_BLESS);
	WarnOfUnregistered(task_types);
	PrepareCall(fcinfo, &call, task_types);
	call.most = most;
	call.result = (ReturnSetInfo *) fcinfo->resultinfo;
	call.request.lease = lease;
	ClaimOrWait(&call, wait == NO_MICROSECONDS ? 0 : wait);

	/*
	 * Written last, so that nothing is locked while the claim waits; and not by
	 * whoever found the id being registered at this moment.
	 */
	if (call.claimant != NULL)
		ClaimantHasClaimed(call.claimant, call.claimed > 0);
}

Datum
taskq_claim_job(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 4);
	CheckWritable("taskq.claim_job()");
	ClaimBySql(fcinfo, 1, 1);
	return (Datum) 0;
}

Datum
taskq_claim_jobs(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 5);
	CheckWritable("taskq.claim_jobs()");
	ClaimBySql(fcinfo, ArgInt(fcinfo, 1, "max_jobs", 1, TASKQ_MAX_BATCH), 2);
	return (Datum) 0;
}

static bool
AnyDue(const RouteSet *routes)
{
	int		   *due = palloc(sizeof(int) * (routes->n + 1));
	TimestampTz next_due;
	bool		any = ClaimCountDue(routes, 1, due, &next_due) > 0;

	pfree(due);
	return any;
}

/* Could it claim a job now, if there is one that is due? */
static bool
LookOnly(ClaimCall *call)
{
	call->request.at_limit = false;
	return AnyDue(&call->routes) && ClaimCould(&call->request);
}

/*
 * Wait without a snapshot, so that no horizon is held up: commit what the
 * caller has, sleep between transactions and look in one of its own.
 */
static bool
WaitWithoutSnapshot(ClaimCall *call, TimestampTz deadline)
{
	volatile bool found = false;

	PG_TRY();
	{
		found = LookAndSleep(call, LookOnly, deadline, true);
	}
	PG_FINALLY();
	{
		WaitEndOfClaim();
	}
	PG_END_TRY();
	return found;
}

Datum
taskq_wait_for_job(PG_FUNCTION_ARGS)
{
	ClaimCall call;
	int64	  wait;
	bool	  atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
				  castNode(CallContext, fcinfo->context)->atomic;
	MemoryContext context = AllocSetContextCreate(PortalContext != NULL ? PortalContext : CurrentMemoryContext,
												  "taskq wait_for_job", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	TupleDesc	  desc;
	Datum		  value;
	bool		  isnull = false;

	CheckArgCount(fcinfo, 3);
	CheckWritable("taskq.wait_for_job()");
	wait = ArgMicroseconds(fcinfo, 1, "max_wait", 0);
	if (wait == NO_MICROSECONDS)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("max_wait must not be NULL")));
	if (atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("taskq.wait_for_job() cannot run inside a transaction block"),
				 errdetail("It commits, so that it can wait without a snapshot."),
				 errhint("In a transaction use taskq.claim_job(wait => ...).")));
	CheckIsolation();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	CheckColumnCount(desc, 1);
	desc = BlessTupleDesc(desc);

	/* what must outlive the commits */
	old = MemoryContextSwitchTo(context);
	PrepareCall(fcinfo, &call, NULL);
	UpdateRoutes(&call);
	ClaimantHasClaimed(call.claimant, false);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	SPI_commit();
	value = BoolGetDatum(WaitWithoutSnapshot(&call, ClockNow() + wait));
	SPI_finish();
	MemoryContextSwitchTo(old);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, &value, &isnull)));
}
