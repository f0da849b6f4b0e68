/*
 * read_events.c
 *	  read_events(): read the log of events from a position on, without gaps.
 *	  event_position(): return the position from which to read new events only.
 *	  prune(): make and drop partitions of the history and of the events, as the
 *	  scheduler does, where no scheduler runs.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/rows.h"
#include "base/signature.h"
#include "job/event_position.h"
#include "job/retention.h"
#include "job/tenants.h"
#include "shared/wait.h"
#include "store/catalog.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_read_events);
PG_FUNCTION_INFO_V1(taskq_event_position);
PG_FUNCTION_INFO_V1(taskq_prune);

enum
{
	ARG_AFTER,
	ARG_LIMIT,
	ARG_WAIT,
	ARG_QUEUES,
	ARG_TASK_TYPES,
	ARG_JOB_ID,
	ARG_COUNT
};

/* Parameters of the query below. */
enum
{
	PARAM_AFTER,
	PARAM_HORIZON,
	PARAM_LIMIT,
	PARAM_QUEUES,
	PARAM_TASK_TYPES,
	PARAM_JOB_ID,
	PARAM_TENANTS,
	PARAM_COUNT
};

typedef struct EventsCall
{
	ReturnSetInfo *result;
	int64		   after;
	Datum		   values[PARAM_COUNT];
	char		   nulls[PARAM_COUNT + 1];
} EventsCall;

static void
SetParam(EventsCall *call, int param, Datum value, bool isnull)
{
	call->values[param] = value;
	call->nulls[param] = isnull ? 'n' : ' ';
}

/*
 * Add the events that can be read now to the result, and return their number.  The
 * snapshot must be taken after the horizon is read, and the query planned after the
 * snapshot is taken.  Otherwise the plan could lack a partition that was made in
 * between, and with it events that the snapshot sees.
 */
static uint64
Look(EventsCall *call)
{
	static const char *const query =
		"SELECT event_id, at, event, job_id, attempt, epoch, task_type, queue, tenant_id, correlation_id,"
		" worker_id, result, error_type, error_code, error_message, metadata"
		" FROM taskq.event_log WHERE event_id > $1 AND event_id <= $2"
		" AND ($4 IS NULL OR queue = ANY ($4)) AND ($5 IS NULL OR task_type = ANY ($5))"
		" AND ($6 IS NULL OR job_id = $6) AND ($7 IS NULL OR tenant_id = ANY ($7)) ORDER BY event_id LIMIT $3";
	Oid		   types[] = { INT8OID, INT8OID, INT4OID, TEXTARRAYOID, TEXTARRAYOID, INT8OID, TEXTARRAYOID };
	int64	   horizon = EventHorizon(call->after);
	OwnerScope scope;
	Snapshot   snapshot;
	SPIPlanPtr plan;
	uint64	   n;

	if (horizon <= call->after)
		return 0;
	SetParam(call, PARAM_HORIZON, Int64GetDatum(horizon), false);
	OwnerEnterSpi(&scope);
	snapshot = StoreSnapshot();
	plan = SPI_prepare(query, PARAM_COUNT, types);
	if (plan == NULL ||
		SPI_execute_snapshot(plan, call->values, call->nulls, snapshot, InvalidSnapshot, true, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "reading events failed: %s", SPI_result_code_string(SPI_result));
	n = SPI_processed;
	CheckSameColumns(call->result->setDesc, SPI_tuptable->tupdesc);
	for (uint64 i = 0; i < n; i++)
		tuplestore_puttuple(call->result->setResult, SPI_tuptable->vals[i]);
	UnregisterSnapshot(snapshot);
	OwnerLeaveSpi(&scope);
	return n;
}

/*
 * Read events, and if there are none wait for a commit that makes some.  "wait" is
 * the longest wait in microseconds; taskq.max_wait also limits it.
 */
static void
LookOrWait(EventsCall *call, int64 wait)
{
	TimestampTz deadline;

	if (Look(call) > 0 || wait <= 0)
		return;
	deadline = ClockNow() + Min(wait, (int64) taskq_max_wait * 1000);
	PG_TRY();
	{
		for (;;)
		{
			long left = ClockMillisecondsUntil(deadline, taskq_max_wait);

			WaitForEvents();
			if (Look(call) > 0 || left <= 0)
				break;

			/* Look again after taskq.poll_interval: events that arrive by replication wake nobody. */
			WaitSleep(Min(left, taskq_poll_interval));
			CHECK_FOR_INTERRUPTS();
			CatalogRecheck();
		}
	}
	PG_FINALLY();
	{
		WaitForEventsEnd();
	}
	PG_END_TRY();
}

static void
NamesParam(EventsCall *call, int param, FunctionCallInfo fcinfo, int arg, const char *what)
{
	ArrayType *names = ArgNamesOrNull(fcinfo, arg, what);

	SetParam(call, param, PointerGetDatum(names), names == NULL);
}

Datum
taskq_read_events(PG_FUNCTION_ARGS)
{
	EventsCall call = { 0 };
	int64	   wait;
	ArrayType *tenants;

	CheckCall(fcinfo);

	/* A standby does not know which transactions are writing events, so it has no horizon. */
	PreventCommandDuringRecovery("taskq.read_events()");
	InitMaterializedSRF(fcinfo, 0);
	call.result = (ReturnSetInfo *) fcinfo->resultinfo;
	call.after = ArgId(fcinfo, ARG_AFTER, "after");
	SetParam(&call, PARAM_AFTER, Int64GetDatum(call.after), false);
	SetParam(&call, PARAM_LIMIT, Int32GetDatum(ArgInt(fcinfo, ARG_LIMIT, "limit", 1, TASKQ_MAX_BATCH)), false);
	wait = ArgMicroseconds(fcinfo, ARG_WAIT, "wait", 0);
	NamesParam(&call, PARAM_QUEUES, fcinfo, ARG_QUEUES, "queues");
	NamesParam(&call, PARAM_TASK_TYPES, fcinfo, ARG_TASK_TYPES, "task_types");
	SetParam(&call, PARAM_JOB_ID, PG_ARGISNULL(ARG_JOB_ID) ? (Datum) 0 : PG_GETARG_DATUM(ARG_JOB_ID),
			 PG_ARGISNULL(ARG_JOB_ID));
	tenants = TenantsSeen(false);
	SetParam(&call, PARAM_TENANTS, PointerGetDatum(tenants), tenants == NULL);
	LookOrWait(&call, wait == NO_MICROSECONDS ? 0 : wait);
	return (Datum) 0;
}

Datum
taskq_event_position(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	PreventCommandDuringRecovery("taskq.event_position()");
	PG_RETURN_INT64(EventHorizon(PG_INT64_MIN));
}

Datum
taskq_prune(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	CheckWritable("taskq.prune()");
	HistoryPrune();
	EventMaintain(true);
	PG_RETURN_VOID();
}
