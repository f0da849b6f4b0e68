/*
 * columns.c
 *	  The columns of taskq's tables, compared with the catalog.
 */
#include "taskq.h"

#include "catalog/pg_type.h"

#include "store/columns.h"

typedef struct Column
{
	const char *name;
	Oid			type;
} Column;

#define COLUMN(t, column, type, ...) { #column, type },

static const Column jobs[] = { JOBS_COLUMNS(COLUMN, jobs) };
static const Column job_history[] = { JOB_HISTORY_COLUMNS(COLUMN, job_history) };
static const Column attempt_failures[] = { ATTEMPT_FAILURES_COLUMNS(COLUMN, attempt_failures) };
static const Column routes[] = { ROUTES_COLUMNS(COLUMN, routes) };
static const Column queue_defs[] = { QUEUE_DEFS_COLUMNS(COLUMN, queue_defs) };
static const Column handlers[] = { HANDLERS_COLUMNS(COLUMN, handlers) };
static const Column pool_defs[] = { POOL_DEFS_COLUMNS(COLUMN, pool_defs) };
static const Column external_workers[] = { EXTERNAL_WORKERS_COLUMNS(COLUMN, external_workers) };
static const Column cancel_requests[] = { CANCEL_REQUESTS_COLUMNS(COLUMN, cancel_requests) };
static const Column installation[] = { INSTALLATION_COLUMNS(COLUMN, installation) };
static const Column event_log[] = { EVENT_LOG_COLUMNS(COLUMN, event_log) };
static const Column frame_log[] = { FRAME_LOG_COLUMNS(COLUMN, frame_log) };
static const Column access_grants[] = { ACCESS_GRANTS_COLUMNS(COLUMN, access_grants) };
static const Column access_rights[] = { ACCESS_RIGHTS_COLUMNS(COLUMN, access_rights) };
static const Column handler_changes[] = { HANDLER_CHANGES_COLUMNS(COLUMN, handler_changes) };
static const Column limit_defs[] = { LIMIT_DEFS_COLUMNS(COLUMN, limit_defs) };
static const Column limit_starts[] = { LIMIT_STARTS_COLUMNS(COLUMN, limit_starts) };
static const Column budget_defs[] = { BUDGET_DEFS_COLUMNS(COLUMN, budget_defs) };
static const Column budget_periods[] = { BUDGET_PERIODS_COLUMNS(COLUMN, budget_periods) };
static const Column budget_totals[] = { BUDGET_TOTALS_COLUMNS(COLUMN, budget_totals) };
static const Column budget_reports[] = { BUDGET_REPORTS_COLUMNS(COLUMN, budget_reports) };
static const Column bound_tenants[] = { BOUND_TENANTS_COLUMNS(COLUMN, bound_tenants) };

#define TABLE(columns)             \
	{                              \
		lengthof(columns), columns \
	}

/* No columns are listed for indexes and sequences. */
static const struct
{
	int			  n_columns;
	const Column *columns;
} tables[TASKQ_RELS] = {
	[REL_JOBS] = TABLE(jobs),
	[REL_HISTORY] = TABLE(job_history),
	[REL_HISTORY_OVERFLOW] = TABLE(job_history),
	[REL_FAILURES] = TABLE(attempt_failures),
	[REL_ROUTES] = TABLE(routes),
	[REL_QUEUES] = TABLE(queue_defs),
	[REL_HANDLERS] = TABLE(handlers),
	[REL_POOLS] = TABLE(pool_defs),
	[REL_WORKERS] = TABLE(external_workers),
	[REL_CANCELS] = TABLE(cancel_requests),
	[REL_INSTALLATION] = TABLE(installation),
	[REL_EVENTS] = TABLE(event_log),
	[REL_EVENTS_OVERFLOW] = TABLE(event_log),
	[REL_FRAMES] = TABLE(frame_log),
	[REL_GRANTS] = TABLE(access_grants),
	[REL_RIGHTS] = TABLE(access_rights),
	[REL_HANDLER_CHANGES] = TABLE(handler_changes),
	[REL_LIMITS] = TABLE(limit_defs),
	[REL_LIMIT_STARTS] = TABLE(limit_starts),
	[REL_BUDGETS] = TABLE(budget_defs),
	[REL_BUDGET_PERIODS] = TABLE(budget_periods),
	[REL_BUDGET_TOTALS] = TABLE(budget_totals),
	[REL_BUDGET_REPORTS] = TABLE(budget_reports),
	[REL_BOUND_TENANTS] = TABLE(bound_tenants),
};

/* Return the number of columns that this library knows.  Users may have added others after them. */
int
ColumnsCount(TaskqRel rel)
{
	return tables[rel].n_columns;
}

/*
 * Return the number of the first column that has another name or type than this
 * library knows, or 0.  A column that was dropped has no type.
 */
int
ColumnsFirstOther(TaskqRel rel, TupleDesc desc)
{
	const Column *columns = tables[rel].columns;

	if (desc->natts < tables[rel].n_columns)
		return desc->natts;
	for (int i = 0; i < tables[rel].n_columns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->atttypid != columns[i].type || strcmp(NameStr(attribute->attname), columns[i].name) != 0)
			return i + 1;
	}
	return 0;
}
