/*
 * explain_routes.c
 *	  Rows about routes and the reasons why their jobs are not run: explain_routes(), which
 *	  the view route_reasons uses, and what explain_claim() has in common with it.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/tuplestore.h"

#include "base/names.h"
#include "base/rows.h"
#include "base/signature.h"
#include "claim/why_not.h"
#include "config/route.h"
#include "job/tenants.h"

PG_FUNCTION_INFO_V1(taskq_explain_routes);

static const Oid explain_routes_columns[] = { INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID };

#define EXPLAIN_ROUTES_COLUMNS lengthof(explain_routes_columns)

/* Remove the name of a budget, and what is left of it, from the text of a reason. */
void
ReasonHideBudget(Reason *reason)
{
	if (reason->code == REASON_BUDGET || reason->code == REASON_BUDGET_ARMING || reason->code == REASON_LIMIT_MEMORY)
		reason->text = ReasonText(reason->code);
}

/* Set the first five columns of a row about a route. */
void
PutRouteColumns(const TaskqRoute *route, Datum *values, bool *nulls)
{
	values[0] = Int32GetDatum(route->route_id);
	values[1] = CStringGetTextDatum(route->queue);
	values[2] = CStringGetTextDatum(route->task_type);
	values[3] = PointerGetDatum(route->capabilities);
	values[4] = CStringGetTextDatum(route->min_version);
	nulls[4] = route->min_version[0] == '\0';
}

/* Set the column of the tenant, if the caller sees the tenant. */
void
PutTenantColumn(const TaskqRoute *route, Datum *value, bool *isnull)
{
	ArrayType *seen = TenantsSeen(false);

	*isnull = route->tenant_id[0] == '\0' || (seen != NULL && !NamesContain(seen, route->tenant_id));
	if (!*isnull)
		*value = CStringGetTextDatum(route->tenant_id);
}

/* Set the REASON_COLUMNS columns of a row that has a reason. */
void
PutReasonColumns(const Reason *reason, Datum *values, bool *nulls)
{
	nulls[0] = nulls[1] = reason->code == REASON_NONE;
	if (reason->code != REASON_NONE)
	{
		values[0] = CStringGetTextDatum(reason->text);
		values[1] = CStringGetTextDatum(ReasonName(reason->code));
	}
	values[2] = PointerGetDatum(reason->missing);
	nulls[2] = reason->missing == NULL;
}

/* Is there a worker that will be given the jobs as soon as a limit or a budget has room? */
static bool
IsPassing(const Reason *reason)
{
	return reason->code == REASON_LIMIT || reason->code == REASON_LIMIT_ARMING || reason->code == REASON_RATE_LIMIT ||
		   reason->code == REASON_QUOTA || reason->code == REASON_ORDER || reason->code == REASON_BUDGET || reason->code == REASON_BUDGET_ARMING;
}

/*
 * Return every route, and why no worker would be given jobs of it now.  A limit or budget
 * that is reached is no such reason, as that is usual.
 */
Datum
taskq_explain_routes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo	  *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AnyWorker		   any;
	const TaskqRoute **routes;
	int				   n;
	bool			   sees_all = TenantsSeen(false) == NULL;

	CheckCall(fcinfo);
	BeginRows(fcinfo, EXPLAIN_ROUTES_COLUMNS, explain_routes_columns);
	AcceptInvalidationMessages();
	AnyWorkerRead(&any);
	routes = RoutesAll(&n);
	for (int i = 0; i < n; i++)
	{
		Reason reason;
		Datum  values[EXPLAIN_ROUTES_COLUMNS] = { 0 };
		bool   nulls[EXPLAIN_ROUTES_COLUMNS] = { false };

		CHECK_FOR_INTERRUPTS();
		(void) WhyNot(NULL, &any, routes[i], NULL, &reason);
		if (!sees_all)
			ReasonHideBudget(&reason);
		if (IsPassing(&reason))
			memset(&reason, 0, sizeof(reason));
		PutRouteColumns(routes[i], values, nulls);
		PutReasonColumns(&reason, &values[5], &nulls[5]);
		PutTenantColumn(routes[i], &values[8], &nulls[8]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
