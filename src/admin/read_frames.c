/*
 * read_frames.c
 *	  append_frame(), for handlers and for external workers; read_frames(), and the
 *	  frames of runs in this server that are not settled yet.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/rows.h"
#include "base/signature.h"
#include "job/fence.h"
#include "job/frames.h"
#include "job/tenants.h"
#include "shared/shmem.h"
#include "store/catalog.h"
#include "store/columns.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_append_frame);
PG_FUNCTION_INFO_V1(taskq_append_frame_of);
PG_FUNCTION_INFO_V1(taskq_read_frames);
PG_FUNCTION_INFO_V1(taskq_running_frames);

static char *
ArgText(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", what)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static int
ArgLevel(FunctionCallInfo fcinfo, int n)
{
	char *name = ArgText(fcinfo, n, "level");
	int	  level;

	if (!FrameLevelByName(name, &level))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown level \"%s\"", name),
				 errhint("Use info, notice, warning or error.")));
	return level;
}

Datum
taskq_append_frame(PG_FUNCTION_ARGS)
{
	char *message;
	int	  level;

	CheckCall(fcinfo);
	message = ArgText(fcinfo, 0, "message");
	level = ArgLevel(fcinfo, 1);
	if (!FrameAppend(level, 0, message) && taskq_frame_memory > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq.append_frame(message) can only be called in a handler"),
				 errdetail("This session runs no job."),
				 errhint("A program that has claimed a job calls taskq.append_frame(job_id, epoch, message).")));
	PG_RETURN_VOID();
}

/* external workers --------------------------------------------------------- */

/* Return the number of the last frame of a claim, or 0.  The caller has locked the job's row. */
static int32
LastFrame(int64 job_id, int64 epoch)
{
	Store		log;
	Snapshot	snapshot = StoreSnapshot();
	ScanKeyData keys[2];
	int32		last = 0;

	StoreOpenRel(&log, REL_FRAMES);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(epoch));
	if (StoreFindLast(&log, RelationGetPrimaryKeyIndex_compat(log.rel), 2, keys, snapshot))
		last = DatumGetInt32(SlotDatum(log.found, Anum_frame_log_frame));
	StoreClose(&log, false);
	UnregisterSnapshot(snapshot);
	return last;
}

/* SQL-callable append_frame() for the holder of a claim.  Returns false if the claim has MAX_FRAMES frames already. */
Datum
taskq_append_frame_of(PG_FUNCTION_ARGS)
{
	int64	   job_id;
	int64	   epoch;
	Store	   jobs;
	TaskqJob   job;
	Frame	   frame = { 0 };
	OwnerScope scope;
	bool	   written;

	CheckCall(fcinfo);
	CheckWritable("taskq.append_frame()");
	job_id = ArgId(fcinfo, 0, "job_id");
	epoch = ArgId(fcinfo, 1, "epoch");
	frame.message = ArgText(fcinfo, 2, "message");
	((char *) frame.message)[pg_mbcliplen(frame.message, strlen(frame.message), MAX_FRAME_MESSAGE - 1)] = '\0';
	frame.level = ArgLevel(fcinfo, 3);
	frame.at = ClockNow();

	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	written = LockClaim(&jobs, &job, job_id, epoch, OUTCOME_NONE, scope.caller, GRIP_LOCK);
	if (written)
	{
		frame.number = LastFrame(job_id, epoch) + 1;
		written = frame.number <= MAX_FRAMES;
	}
	if (written)
		FrameInsert(job_id, epoch, job.attempt, &frame);
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	PG_RETURN_BOOL(written);
}

/* reading ------------------------------------------------------------------ */

/* The columns of running_frames(). */
static const Oid frame_columns[] = { INT8OID, INT8OID, INT4OID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID };

/* Add the frames of the run in a slot to the result, if it is still a run of this job. */
static void
PutFrames(ReturnSetInfo *result, int slot, int64 job)
{
	int64		 job_id;
	int64		 epoch;
	int32		 attempt;
	FrameBuffer *buffer = FrameCopy(slot, &job_id, &epoch, &attempt);
	Size		 position = 0;
	Frame		 frame;

	while (buffer != NULL && job_id == job && FrameNext(buffer, &position, &frame))
	{
		Datum values[8];
		bool  nulls[8] = { false };

		values[0] = Int64GetDatum(job_id);
		values[1] = Int64GetDatum(epoch);
		values[2] = Int32GetDatum(frame.number);
		values[3] = Int32GetDatum(attempt);
		values[4] = TimestampTzGetDatum(frame.at);
		values[5] = CStringGetTextDatum(FrameLevelName(frame.level));
		values[6] = CStringGetTextDatum(unpack_sql_state(frame.sqlstate));
		nulls[6] = frame.sqlstate == 0;
		values[7] = CStringGetTextDatum(frame.message);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	if (buffer != NULL)
		pfree(buffer);
}

Datum
taskq_running_frames(PG_FUNCTION_ARGS)
{
	ArrayType *tenants = TenantsSeen(false);

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(frame_columns), frame_columns);
	for (int i = 0; ShmemPresent() && i < taskq_shared->n_slots; i++)
	{
		bool  ours;
		int64 job_id;

		LWLockAcquire(&taskq_slots[i].lock, LW_SHARED);
		job_id = taskq_slots[i].job_id;
		ours = taskq_slots[i].worker && taskq_slots[i].dboid == MyDatabaseId && job_id != 0;
		LWLockRelease(&taskq_slots[i].lock);
		if (ours && TenantsSeeRunning(tenants, job_id))
			PutFrames((ReturnSetInfo *) fcinfo->resultinfo, i, job_id);
	}
	return (Datum) 0;
}

/* SQL-callable read_frames(): read the frames of one job from the view taskq.frames. */
Datum
taskq_read_frames(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			   types[] = { INT8OID, INT4OID, INT4OID, TEXTARRAYOID };
	Datum		   values[4] = { 0 };
	char		   nulls[] = "    ";
	ArrayType	  *tenants;
	OwnerScope	   scope;
	uint64		   n;

	CheckCall(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	values[0] = Int64GetDatum(ArgId(fcinfo, 0, "job_id"));
	if (!PG_ARGISNULL(1))
		values[1] = PG_GETARG_DATUM(1);
	values[2] = Int32GetDatum(PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2));
	tenants = TenantsSeen(false);
	values[3] = PointerGetDatum(tenants);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	nulls[3] = tenants == NULL ? 'n' : ' ';
	OwnerEnterSpi(&scope);
	n = OwnerExecute("SELECT * FROM taskq.frames WHERE job_id = $1 AND ($2 IS NULL OR attempt = $2) AND frame > $3"
					 " AND ($4 IS NULL OR EXISTS (SELECT FROM taskq.all_jobs WHERE job_id = $1 AND tenant_id = ANY ($4)))"
					 " ORDER BY epoch, frame",
					 4, types, values, nulls);
	CheckSameColumns(result->setDesc, SPI_tuptable->tupdesc);
	for (uint64 i = 0; i < n; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	OwnerLeaveSpi(&scope);
	return (Datum) 0;
}
