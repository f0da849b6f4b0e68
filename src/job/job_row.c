/*
 * job_row.c
 *	  Rows of taskq.jobs and taskq.job_history as jobs in C.
 */
#include "taskq.h"

#include "job/job.h"

static char
GateOf(const TaskqJob *job)
{
	switch (job->state)
	{
		case JOB_AVAILABLE:
		case JOB_RETRYABLE:
			return job->lane != 0 ? GATE_LANE : GATE_OPEN;
		case JOB_RUNNING:
			return GATE_RUNNING;
	}
	elog(ERROR, "a job in state \"%c\" has no live row", job->state);
}

/* Two kinds of columns that only a job has; the others are in row.h. */
#define READ_GATE(value, slot, n)
#define READ_GROUP_ID(value, slot, n) value = SlotIsNull(slot, n) ? 0 : DatumGetInt64(SlotDatum(slot, n));
#define WRITE_GATE(value, slot, n) SlotSet(slot, n, CharGetDatum(GateOf(job)));
#define WRITE_GROUP_ID(value, slot, n) SlotSetOrNull(slot, n, Int64GetDatum(value), job->group_key == NULL);

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

TimestampTz
JobCreatedAtOfRow(TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, Anum_jobs_created_at);
	return DatumGetTimestampTz(SlotDatum(slot, Anum_jobs_created_at));
}

/* Return how many starts a job counts as, under rates and quotas. */
int32
JobWeight(const TaskqJob *job)
{
	return Max(job->weight, 1);
}

int32
JobWeightOfRow(TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, Anum_jobs_weight);
	return SlotIsNull(slot, Anum_jobs_weight) ? 1 : DatumGetInt32(SlotDatum(slot, Anum_jobs_weight));
}

/* Return the state that is stored.  A job that a background worker runs is stored as waiting. */
char
JobStateOfRow(TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, Anum_jobs_state);
	return DatumGetChar(SlotDatum(slot, Anum_jobs_state));
}

/* Does the job wait to be claimed? */
bool
JobIsOpen(TupleTableSlot *slot)
{
	char gate;

	slot_getsomeattrs(slot, Anum_jobs_gate);
	gate = DatumGetChar(SlotDatum(slot, Anum_jobs_gate));
	return gate == GATE_OPEN || gate == GATE_LANE;
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

/* Change the row of a new job into that of one that differs in its id and payload. */
void
JobWriteNext(const TaskqJob *job, TupleTableSlot *slot)
{
	SlotSet(slot, Anum_jobs_job_id, Int64GetDatum(job->job_id));
	SlotSetPointer(slot, Anum_jobs_payload, job->payload);
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
#define KEEP_INT64_OR_NULL(value)
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
