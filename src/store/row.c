/*
 * row.c
 *	  Reading and writing whole rows by the lists of columns.h.
 *
 * A slot that is read is deformed, and one that is written is a new row.
 */
#include "taskq.h"

#include "store/row.h"

void
RowReadRoute(RouteRow *row, TupleTableSlot *slot)
{
	ROUTES_COLUMNS(READ_COLUMN, routes);
}

void
RowReadQueue(QueueRow *row, TupleTableSlot *slot)
{
	QUEUE_DEFS_COLUMNS(READ_COLUMN, queue_defs);
}

void
RowReadHandler(HandlerRow *row, TupleTableSlot *slot)
{
	HANDLERS_COLUMNS(READ_COLUMN, handlers);
}

void
RowReadPool(PoolRow *row, TupleTableSlot *slot)
{
	POOL_DEFS_COLUMNS(READ_COLUMN, pool_defs);
}

void
RowReadWorker(WorkerRow *row, TupleTableSlot *slot)
{
	EXTERNAL_WORKERS_COLUMNS(READ_COLUMN, external_workers);
}

void
RowWriteWorker(const WorkerRow *row, TupleTableSlot *slot)
{
	EXTERNAL_WORKERS_COLUMNS(WRITE_COLUMN, external_workers);
}

void
RowReadBoundTenant(BoundTenantRow *row, TupleTableSlot *slot)
{
	BOUND_TENANTS_COLUMNS(READ_COLUMN, bound_tenants);
}

void
RowReadLimit(LimitRow *row, TupleTableSlot *slot)
{
	LIMIT_DEFS_COLUMNS(READ_COLUMN, limit_defs);
}

void
RowReadBudget(BudgetRow *row, TupleTableSlot *slot)
{
	BUDGET_DEFS_COLUMNS(READ_COLUMN, budget_defs);
}

void
RowWriteAttempt(const AttemptRow *row, TupleTableSlot *slot)
{
	ATTEMPT_FAILURES_COLUMNS(WRITE_COLUMN, attempt_failures);
}

void
RowWriteEvent(const EventRow *row, TupleTableSlot *slot)
{
	EVENT_LOG_COLUMNS(WRITE_COLUMN, event_log);
}

void
RowWriteFrame(const FrameRow *row, TupleTableSlot *slot)
{
	FRAME_LOG_COLUMNS(WRITE_COLUMN, frame_log);
}
