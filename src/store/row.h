/*
 * row.h
 *	  Rows of taskq's tables in C: structs with a field for each column, made from the
 *	  lists of columns.h.
 *
 * The kind of a column says what its field is and how it is read and written.  A field
 * of a kind "_OR_NULL" is 0 for an SQL NULL, and a pointer is NULL for it.  The
 * pointers of the kinds VARLENA and INTERVAL point into the row that was read; what
 * the other kinds point to is a copy.
 */
#ifndef TASKQ_ROW_H
#define TASKQ_ROW_H

#include "taskq.h"

#include "utils/date.h"

#include "base/args.h"
#include "base/clock.h"
#include "store/columns.h"
#include "store/store.h"

/* the field of a kind */
#define FIELD_INT64(name) int64 name;
#define FIELD_INT32(name) int32 name;
#define FIELD_INT16(name) int16 name;
#define FIELD_BOOL(name) bool name;
#define FIELD_CHAR(name) char name;
#define FIELD_DATE(name) DateADT name;
#define FIELD_TIME(name) TimestampTz name;
#define FIELD_OID(name) Oid name;
#define FIELD_INT64_OR_NULL(name) int64 name;
#define FIELD_INT32_OR_NULL(name) int32 name;
#define FIELD_INT32_OR_NONE(name) int32 name; /* -1 stands for an SQL NULL */
#define FIELD_CHAR_OR_NULL(name) char name;
#define FIELD_DATE_OR_NULL(name) DateADT name;
#define FIELD_TIME_OR_NULL(name) TimestampTz name;
#define FIELD_OID_OR_NULL(name) Oid name;
#define FIELD_INTERVAL(name) Interval *name;
#define FIELD_VARLENA(name) struct varlena *name;
#define FIELD_TEXT(name) char *name;
#define FIELD_NAMES(name) ArrayType *name;
#define FIELD_JSON(name) struct varlena *name;
#define FIELD_MICROSECONDS(name) int64 name; /* NO_MICROSECONDS stands for an SQL NULL */

/* reading the field from column n of a slot */
#define READ_INT64(value, slot, n) value = DatumGetInt64(SlotDatum(slot, n));
#define READ_INT32(value, slot, n) value = DatumGetInt32(SlotDatum(slot, n));
#define READ_INT16(value, slot, n) value = DatumGetInt16(SlotDatum(slot, n));
#define READ_BOOL(value, slot, n) value = DatumGetBool(SlotDatum(slot, n));
#define READ_CHAR(value, slot, n) value = DatumGetChar(SlotDatum(slot, n));
#define READ_DATE(value, slot, n) value = DatumGetDateADT(SlotDatum(slot, n));
#define READ_TIME(value, slot, n) value = DatumGetTimestampTz(SlotDatum(slot, n));
#define READ_OID(value, slot, n) value = DatumGetObjectId(SlotDatum(slot, n));
#define READ_INT64_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? 0 : DatumGetInt64(SlotDatum(slot, n));
#define READ_INT32_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? 0 : DatumGetInt32(SlotDatum(slot, n));
#define READ_INT32_OR_NONE(value, slot, n) value = SlotIsNull(slot, n) ? -1 : DatumGetInt32(SlotDatum(slot, n));
#define READ_CHAR_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? '\0' : DatumGetChar(SlotDatum(slot, n));
#define READ_DATE_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? 0 : DatumGetDateADT(SlotDatum(slot, n));
#define READ_TIME_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? 0 : DatumGetTimestampTz(SlotDatum(slot, n));
#define READ_OID_OR_NULL(value, slot, n) value = SlotIsNull(slot, n) ? InvalidOid : DatumGetObjectId(SlotDatum(slot, n));
#define READ_INTERVAL(value, slot, n) value = SlotPointer(slot, n);
#define READ_VARLENA(value, slot, n) value = SlotPointer(slot, n);
#define READ_TEXT(value, slot, n) value = SlotString(slot, n);
#define READ_NAMES(value, slot, n) value = SlotNames(slot, n);
#define READ_JSON(value, slot, n) value = SlotIsNull(slot, n) ? NULL : PG_DETOAST_DATUM_COPY(SlotDatum(slot, n));
#define READ_MICROSECONDS(value, slot, n) value = SlotMicroseconds(slot, n);

/*
 * Writing the field.  Rows are written from an all-NULL row, but a row that was read may
 * also be copied and changed, so NULL is written, too.
 */
#define WRITE_INT64(value, slot, n) SlotSet(slot, n, Int64GetDatum(value));
#define WRITE_INT32(value, slot, n) SlotSet(slot, n, Int32GetDatum(value));
#define WRITE_INT16(value, slot, n) SlotSet(slot, n, Int16GetDatum(value));
#define WRITE_BOOL(value, slot, n) SlotSet(slot, n, BoolGetDatum(value));
#define WRITE_CHAR(value, slot, n) SlotSet(slot, n, CharGetDatum(value));
#define WRITE_DATE(value, slot, n) SlotSet(slot, n, DateADTGetDatum(value));
#define WRITE_TIME(value, slot, n) SlotSet(slot, n, TimestampTzGetDatum(value));
#define WRITE_OID(value, slot, n) SlotSet(slot, n, ObjectIdGetDatum(value));
#define WRITE_INT64_OR_NULL(value, slot, n) SlotSetOrNull(slot, n, Int64GetDatum(value), value == 0);
#define WRITE_INT32_OR_NULL(value, slot, n) SlotSetOrNull(slot, n, Int32GetDatum(value), value == 0);
#define WRITE_CHAR_OR_NULL(value, slot, n) SlotSetOrNull(slot, n, CharGetDatum(value), value == '\0');
#define WRITE_TIME_OR_NULL(value, slot, n) SlotSetOrNull(slot, n, TimestampTzGetDatum(value), value == 0);
#define WRITE_OID_OR_NULL(value, slot, n) SlotSetOrNull(slot, n, ObjectIdGetDatum(value), !OidIsValid(value));
#define WRITE_INTERVAL(value, slot, n) SlotSetPointer(slot, n, value);
#define WRITE_JSON(value, slot, n) WRITE_VARLENA(value, slot, n)
#define WRITE_VARLENA(value, slot, n) SlotSetPointer(slot, n, value);
#define WRITE_TEXT(value, slot, n) SlotSetString(slot, n, value);
#define WRITE_NAMES(value, slot, n) SlotSetPointer(slot, n, value);
#define WRITE_MICROSECONDS(value, slot, n) SlotSetPointer(slot, n, value == NO_MICROSECONDS ? NULL : MakeInterval(value));

/* what a list is called with, for a struct "row" */
#define COLUMN_FIELD(t, column, type, kind) FIELD_##kind(column)
#define READ_COLUMN(t, column, type, kind) READ_##kind(row->column, slot, Anum_##t##_##column)
#define WRITE_COLUMN(t, column, type, kind) WRITE_##kind(row->column, slot, Anum_##t##_##column)

static inline void
SlotSetOrNull(TupleTableSlot *slot, int attnum, Datum value, bool is_null)
{
	slot->tts_values[attnum - 1] = value;
	slot->tts_isnull[attnum - 1] = is_null;
}

static inline int64
SlotMicroseconds(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? NO_MICROSECONDS : IntervalMicroseconds(SlotPointer(slot, attnum));
}

/* Tables that are read or written through a struct; jobs and finished jobs are in job/job.h. */
typedef struct RouteRow
{
	ROUTES_COLUMNS(COLUMN_FIELD, routes)
} RouteRow;

typedef struct QueueRow
{
	QUEUE_DEFS_COLUMNS(COLUMN_FIELD, queue_defs)
} QueueRow;

typedef struct HandlerRow
{
	HANDLERS_COLUMNS(COLUMN_FIELD, handlers)
} HandlerRow;

typedef struct PoolRow
{
	POOL_DEFS_COLUMNS(COLUMN_FIELD, pool_defs)
} PoolRow;

typedef struct WorkerRow
{
	EXTERNAL_WORKERS_COLUMNS(COLUMN_FIELD, external_workers)
} WorkerRow;

typedef struct BoundTenantRow
{
	BOUND_TENANTS_COLUMNS(COLUMN_FIELD, bound_tenants)
} BoundTenantRow;

typedef struct LimitRow
{
	LIMIT_DEFS_COLUMNS(COLUMN_FIELD, limit_defs)
} LimitRow;

typedef struct BudgetRow
{
	BUDGET_DEFS_COLUMNS(COLUMN_FIELD, budget_defs)
} BudgetRow;

typedef struct AttemptRow
{
	ATTEMPT_FAILURES_COLUMNS(COLUMN_FIELD, attempt_failures)
} AttemptRow;

typedef struct EventRow
{
	EVENT_LOG_COLUMNS(COLUMN_FIELD, event_log)
} EventRow;

typedef struct FrameRow
{
	FRAME_LOG_COLUMNS(COLUMN_FIELD, frame_log)
} FrameRow;

extern void RowReadRoute(RouteRow *row, TupleTableSlot *slot);
extern void RowReadQueue(QueueRow *row, TupleTableSlot *slot);
extern void RowReadHandler(HandlerRow *row, TupleTableSlot *slot);
extern void RowReadPool(PoolRow *row, TupleTableSlot *slot);
extern void RowReadWorker(WorkerRow *row, TupleTableSlot *slot);
extern void RowWriteWorker(const WorkerRow *row, TupleTableSlot *slot);
extern void RowReadBoundTenant(BoundTenantRow *row, TupleTableSlot *slot);
extern void RowReadLimit(LimitRow *row, TupleTableSlot *slot);
extern void RowReadBudget(BudgetRow *row, TupleTableSlot *slot);
extern void RowWriteAttempt(const AttemptRow *row, TupleTableSlot *slot);
extern void RowWriteEvent(const EventRow *row, TupleTableSlot *slot);
extern void RowWriteFrame(const FrameRow *row, TupleTableSlot *slot);

#endif /* TASKQ_ROW_H */
