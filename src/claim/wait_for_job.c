/*
 * wait_for_job.c
 *	  wait_for_job(): wait for a job without a snapshot, and without claiming it.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/rows.h"
#include "base/signature.h"
#include "claim/claim.h"
#include "claim/claim_wait.h"
#include "claim/known_worker.h"
#include "shared/wait.h"

PG_FUNCTION_INFO_V1(taskq_wait_for_job);

static bool
AnyDue(const RouteSet *routes)
{
	int		   *due = palloc(sizeof(int) * (routes->n + 1));
	TimestampTz next_due;
	bool		any = ClaimCountDue(routes, 1, due, &next_due) > 0;

	pfree(due);
	return any;
}

/* Could the worker claim a job now?  First look whether any job is due. */
static bool
LookOnly(ClaimCall *call)
{
	call->request.limit_key = 0;
	return AnyDue(&call->routes) && ClaimCould(&call->request);
}

/*
 * Wait without a snapshot, so that the wait does not hold back vacuum.  Commit the
 * caller's transaction, sleep between transactions, and look in a new one.
 */
static bool
WaitWithoutSnapshot(ClaimCall *call, TimestampTz deadline)
{
	volatile bool found = false;
	volatile bool failed = true;

	PG_TRY();
	{
		found = ClaimWait(call, LookOnly, deadline, true);
		failed = false;
	}
	PG_FINALLY();
	{
		WaitEndOfClaim(failed);
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
	const Oid	  column = BOOLOID;
	TupleDesc	  desc;
	Datum		  value;
	bool		  isnull = false;

	CheckCall(fcinfo);
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
	ClaimCheckIsolation();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	CheckColumns(desc, 1, &column);
	desc = BlessTupleDesc(desc);

	/* allocate what must outlive the commits */
	old = MemoryContextSwitchTo(context);
	ClaimPrepare(fcinfo, &call, NULL, 3);
	ClaimUpdateRoutes(&call);
	KnownWorkerHasClaimed(call.known, false);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	SPI_commit();
	value = BoolGetDatum(WaitWithoutSnapshot(&call, ClockNow() + wait));
	SPI_finish();
	MemoryContextSwitchTo(old);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, &value, &isnull)));
}
