/*
 * job_row.c
 *	  Rows of taskq.jobs and taskq.job_history as jobs in C.
 */
#include "taskq.h"

#include "utils/date.h"

#include "job/job.h"
#include "store/columns.h"

static char
GateOfState(char state)
{
	switch (state)
	{
		case JOB_AVAILABLE:
		case JOB_RETRYABLE:
			return GATE_OPEN;
		case JOB_RUNNING:
			return GATE_RUNNING;
	}
	elog(ERROR, "a job in state \"%c\" has no live row", state);
}

/*
 * Reading and writing a column, by its kind.  A value is a field of a struct.
 *
 * Rows are written from an all-NULL row, but a row that was read may also be copied and
 * changed, so NULL is written, too.
 */
#define READ_INT64(value, slot, n) value = DatumGetInt64(SlotDatum(slot, n));
#define READ_INT32(value, slot, n) value = DatumGetInt32(SlotDatum(slot, n));
#define READ_INT16(value, slot, n) value = DatumGetInt16(SlotDatum(slot, n));
#define READ_BOOL(value, slot, n) value = DatumGetBool(SlotDatum(slot, n));
#define READ_CHAR(value, slot, n) value = DatumGetChar(SlotDatum(slot, n));
#define READ_DATE(value, slot, n) value = DatumGetDateADT(SlotDatum(slot, n));
#define READ_TIME(value, slot, n) value = DatumGetTimestampTz(SlotDatum(slot, n));
#define READ_INT32_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? 0 : DatumGetInt32(SlotDatum(slot, n));
#define READ_CHAR_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? '\0' : DatumGetChar(SlotDatum(slot, n));
#define READ_TIME_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? 0 : DatumGetTimestampTz(SlotDatum(slot, n));
#define READ_OID_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? InvalidOid : DatumGetObjectId(SlotDatum(slot, n));
#define READ_INTERVAL(value, slot, n) value = SlotPointer(slot, n);
#define READ_VARLENA(value, slot, n) value = SlotPointer(slot, n);
#define READ_GATE(value, slot, n)
#define READ_GROUP_ID(value, slot, n) value = SlotIsNull(slot, n) ? 0 : DatumGetInt64(SlotDatum(slot, n));

#define WRITE_INT64(value, slot, n) SlotSet(slot, n, Int64GetDatum(value));
#define WRITE_INT32(value, slot, n) SlotSet(slot, n, Int32GetDatum(value));
#define WRITE_INT16(value, slot, n) SlotSet(slot, n, Int16GetDatum(value));
#define WRITE_BOOL(value, slot, n) SlotSet(slot, n, BoolGetDatum(value));
#define WRITE_CHAR(value, slot, n) SlotSet(slot, n, CharGetDatum(value));
#define WRITE_DATE(value, slot, n) SlotSet(slot, n, DateADTGetDatum(value));
#define WRITE_TIME(value, slot, n) SlotSet(slot, n, TimestampTzGetDatum(value));
#define WRITE_INT32_OR_NULL(value, slot, n) SlotSetOrNull(slot, n, Int32GetDatum(value), value == 0);
#define WRITE_CHAR_OR_NULL(value, slot, n) SlotSetOrNull(slot, n, CharGetDatum(value), value == '\0');
#define WRITE_TIME_OR_NULL(value, slot, n) SlotSetOrNull(slot, n, TimestampTzGetDatum(value), value == 0);
#define WRITE_OID_OR_NULL(value, slot, n) SlotSetOrNull(slot, n, ObjectIdGetDatum(value), !OidIsValid(value));
#define WRITE_INTERVAL(value, slot, n) SlotSetPointer(slot, n, value);
#define WRITE_VARLENA(value, slot, n) SlotSetPointer(slot, n, value);
#define WRITE_GATE(value, slot, n) SlotSet(slot, n, CharGetDatum(GateOfState(job->state)));
#define WRITE_GROUP_ID(value, slot, n) SlotSetOrNull(slot, n, Int64GetDatum(value), job->group_key == NULL);

static inline void
SlotSetOrNull(TupleTableSlot *slot, int attnum, Datum value, bool is_null)
{
	slot->tts_values[attnum - 1] = value;
	slot->tts_isnull[attnum - 1] = is_null;
}

int64
JobIdOfRow(TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, Anum_jobs_job_id);
	return DatumGetInt64(SlotDatum(slot, Anum_jobs_job_id));
}

void
JobReadKey(JobKey *key, TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, Anum_jobs_priority);
	key->priority = DatumGetInt16(SlotDatum(slot, Anum_jobs_priority));
	key->run_at = DatumGetTimestampTz(SlotDatum(slot, Anum_jobs_run_at));
	key->job_id = DatumGetInt64(SlotDatum(slot, Anum_jobs_job_id));
}

int32
JobRouteOfRow(TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, Anum_jobs_route_id);
	return DatumGetInt32(SlotDatum(slot, Anum_jobs_route_id));
}

/* Does the job wait to be claimed? */
bool
JobIsOpen(TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, Anum_jobs_gate);
	return DatumGetChar(SlotDatum(slot, Anum_jobs_gate)) == GATE_OPEN;
}

#define READ_JOB(t, column, type, kind) READ_##kind(job->column, slot, Anum_##t##_##column)
#define WRITE_JOB(t, column, type, kind) WRITE_##kind(job->column, slot, Anum_##t##_##column)
#define READ_ENDED(t, column, type, kind, owner) READ_##kind(owner->column, slot, Anum_##t##_##column)
#define WRITE_ENDED(t, column, type, kind, owner) WRITE_##kind(owner->column, slot, Anum_##t##_##column)

void
JobRead(TaskqJob *job, TupleTableSlot *slot)
{
	JOBS_COLUMNS(READ_JOB, jobs);
	job->is_stored = false;
	job->runs_here = false;
	job->handler_version = NULL;
	job->failure = NULL;
}

void
JobWrite(const TaskqJob *job, TupleTableSlot *slot)
{
	JOBS_COLUMNS(WRITE_JOB, jobs);
}

void
JobReadEnded(TaskqJob *job, TaskqEnding *ending, TupleTableSlot *slot)
{
	memset(job, 0, sizeof(*job));
	JOB_HISTORY_COLUMNS(READ_ENDED, job_history);
}

void
JobWriteEnded(const TaskqJob *job, const TaskqEnding *ending, TupleTableSlot *slot)
{
	JOB_HISTORY_COLUMNS(WRITE_ENDED, job_history);
}

static void
Keep(struct varlena **value)
{
	if (*value != NULL)
		*value = PG_DETOAST_DATUM_COPY(PointerGetDatum(*value));
}

static void
KeepInterval(Interval **value)
{
	Interval *copy;

	if (*value == NULL)
		return;
	copy = palloc(sizeof(Interval));
	*copy = **value;
	*value = copy;
}

#define KEEP_INT64(value)
#define KEEP_INT32(value)
#define KEEP_INT16(value)
#define KEEP_CHAR(value)
#define KEEP_TIME(value)
#define KEEP_INT32_OR_NULL(value)
#define KEEP_CHAR_OR_NULL(value)
#define KEEP_TIME_OR_NULL(value)
#define KEEP_OID_OR_NULL(value)
#define KEEP_INTERVAL(value) KeepInterval(&value);
#define KEEP_VARLENA(value) Keep(&value);
#define KEEP_GATE(value)
#define KEEP_GROUP_ID(value)
#define KEEP_COLUMN(t, column, type, kind) KEEP_##kind(job->column)

/*
 * Copy the values of a job out of its row, so that they outlive the row and its
 * transaction.
 */
void
JobKeep(TaskqJob *job)
{
	JOBS_COLUMNS(KEEP_COLUMN, jobs);
}
