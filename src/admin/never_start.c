/*
 * never_start.c
 *	  Report to status() which waiting jobs can never start under their limits and budgets.
 *
 * An enqueue refuses a job that is too heavy, but a limit may be set or lowered later.  Such a
 * job holds up its route once it is the first one.  status() must answer at once, so only the
 * first 1000 jobs of a route are looked at, and only if the route has a limit or budget under
 * which a job may be unable to start.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "admin/never_start.h"
#include "base/cost.h"
#include "config/budget.h"
#include "config/limit.h"
#include "config/reason.h"
#include "config/route.h"
#include "store/owner.h"

/*
 * $1 is the array of tenants whose jobs the caller sees, or NULL for all.  $2 are ids of
 * routes, $3 the least weight of their jobs that never start, $4 why, $5 the code of that, $6
 * what to do, $7 the only tenant whose jobs are meant, or empty, and $8 the keys that these jobs
 * have, as bits of KEY_TENANT and KEY_GROUP.  Jobs in lanes are in no order.
 */
static const char *const query =
	"WITH found AS ("
	" SELECT t.task_type, c.because, c.code, c.hint, j.job_id"
	" FROM unnest($2, $3, $4, $5, $6, $7, $8) c (route_id, weight, because, code, hint, tenant_id, keys) JOIN taskq.routes t USING (route_id),"
	"  LATERAL (SELECT l.job_id, l.weight, l.tenant_id, l.group_key FROM"
	"    ((SELECT j.job_id, j.weight, j.tenant_id, j.group_key FROM taskq.jobs j WHERE j.route_id = c.route_id AND j.gate = 'o'"
	"      ORDER BY j.priority, j.run_at, j.job_id LIMIT 1000)"
	"     UNION ALL (SELECT j.job_id, j.weight, j.tenant_id, j.group_key FROM taskq.jobs j WHERE j.route_id = c.route_id AND j.gate = 'l' LIMIT 1000)) l"
	"   WHERE $1 IS NULL OR l.tenant_id = ANY ($1)) j"
	" WHERE COALESCE(j.weight, 1) >= c.weight AND (c.tenant_id = '' OR c.tenant_id = j.tenant_id)"
	"  AND (c.keys & 1 = 0 OR j.tenant_id IS NOT NULL) AND (c.keys & 2 = 0 OR j.group_key IS NOT NULL)),"
	" told AS ("
	" SELECT f.because, f.code, f.hint, count(*) AS n, min(f.job_id) AS first, array_agg(DISTINCT f.task_type) AS types,"
	"  row_number() OVER (ORDER BY count(*) DESC, f.because COLLATE \"C\") AS i, count(*) OVER () AS all_told"
	" FROM found f GROUP BY f.because, f.code, f.hint)"
	" SELECT 'jobs that never start',"
	"  CASE WHEN i > 10 THEN format('and %s more', all_told - 10)"
	"   ELSE format('%s of %s %s%s, such as job %s: %s', n, CASE cardinality(types) WHEN 1 THEN 'type' ELSE 'types' END,"
	"    array_to_string(types[:3], ', '), CASE WHEN cardinality(types) > 3 THEN format(' and %s more', cardinality(types) - 3) ELSE '' END, first, because) END,"
	"  CASE WHEN i <= 10 THEN hint END, CASE WHEN i <= 10 THEN code END"
	" FROM told WHERE i <= 11 ORDER BY i";

/* What the query is given. */
typedef struct Causes
{
	ArrayBuildState *routes;
	ArrayBuildState *weights;
	ArrayBuildState *tenants;
	ArrayBuildState *keys;
	ArrayBuildState *becauses;
	ArrayBuildState *codes;
	ArrayBuildState *hints;
	int				 n;
} Causes;

static void
AddText(ArrayBuildState *texts, const char *text)
{
	(void) accumArrayResult(texts, CStringGetTextDatum(text), false, TEXTOID, CurrentMemoryContext);
}

/* Add a cause why jobs of a route that are under the limit, or all, and weigh so much, or more, never start. */
static void
AddCause(Causes *causes, const TaskqRoute *route, const TaskqLimit *limit, int32 weight, const char *because, ReasonCode code, const char *hint)
{
	(void) accumArrayResult(causes->routes, Int32GetDatum(route->route_id), false, INT4OID, CurrentMemoryContext);
	(void) accumArrayResult(causes->weights, Int32GetDatum(weight), false, INT4OID, CurrentMemoryContext);
	AddText(causes->tenants, limit == NULL ? "" : limit->tenant_id);
	(void) accumArrayResult(causes->keys, Int32GetDatum(limit == NULL ? 0 : limit->for_each), false, INT4OID, CurrentMemoryContext);
	AddText(causes->becauses, because);
	AddText(causes->codes, ReasonName(code));
	AddText(causes->hints, hint);
	causes->n++;
}

/* The heaviest job that the numbers of a limit let start. */
static int32
HeaviestBy(const LimitNumbers *numbers)
{
	int32 heaviest = PG_INT32_MAX;

	if (numbers->rate > 0)
		heaviest = Min(heaviest, numbers->burst);
	if (numbers->quota > 0)
		heaviest = Min(heaviest, numbers->quota);
	return heaviest;
}

/*
 * A limit may have other numbers for single values.  The greatest ones are asked for, so that no
 * job is named that could start.
 */
static void
AddLimitCauses(Causes *causes, const TaskqRoute *route)
{
	const RouteLimits *limits = LimitsOfRoute(route->route_id);

	for (int i = 0; i < limits->n; i++)
	{
		const TaskqLimit *limit = limits->limits[i];
		int32			  heaviest = HeaviestBy(&limit->numbers);
		bool			  runs = limit->numbers.concurrency != 0;

		for (int j = 0; j < limit->n_overrides; j++)
		{
			heaviest = Max(heaviest, HeaviestBy(&limit->overrides[j].numbers));
			runs |= limit->overrides[j].numbers.concurrency != 0;
		}
		if (!runs)
			AddCause(causes, route, limit, 1, psprintf("limit \"%s\" lets no job run", limit->name), REASON_LIMIT,
					 "Give the limit a concurrency by taskq.alter_limit(), or cancel the jobs.");
		if (heaviest < MAX_WEIGHT)
			AddCause(causes, route, limit, heaviest + 1,
					 psprintf("they weigh more than %d, and limit \"%s\" lets no more start at once", heaviest, limit->name), REASON_WEIGHT_OVER_LIMIT,
					 "Give the limit a greater burst or quota by taskq.alter_limit(), or cancel the jobs. taskq.all_jobs shows the weight.");
	}
}

static void
AddBudgetCauses(Causes *causes, const TaskqRoute *route)
{
	const RouteBudgets *budgets = BudgetsOfRoute(route->route_id);

	for (int i = 0; i < budgets->n; i++)
	{
		const TaskqBudget *budget = &budgets->budgets[i];

		if (budget->has_hard && budgets->estimate > budget->hard)
			AddCause(causes, route, NULL, 1,
					 psprintf("they are estimated to cost %s, and the hard limit of budget \"%s\" is %s", CostText(budgets->estimate), budget->name, CostText(budget->hard)),
					 REASON_BUDGET, "Raise the limit by taskq.alter_budget(), or cancel the jobs.");
	}
}

/* Add rows of (name, value, hint, reason_code) about the jobs of these tenants, or of all if "tenants" is NULL. */
void
NeverStartTell(Tuplestorestate *rows, TupleDesc desc, ArrayType *tenants)
{
	Oid				   types[] = { TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID };
	Datum			   values[lengthof(types)] = { PointerGetDatum(tenants) };
	Causes			   causes = { 0 };
	int				   n_routes;
	const TaskqRoute **routes = RoutesAll(&n_routes);
	OwnerScope		   scope;
	uint64			   n;

	causes.routes = initArrayResult(INT4OID, CurrentMemoryContext, false);
	causes.weights = initArrayResult(INT4OID, CurrentMemoryContext, false);
	causes.tenants = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	causes.keys = initArrayResult(INT4OID, CurrentMemoryContext, false);
	causes.becauses = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	causes.codes = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	causes.hints = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	for (int i = 0; i < n_routes; i++)
	{
		AddLimitCauses(&causes, routes[i]);
		AddBudgetCauses(&causes, routes[i]);
	}
	if (causes.n == 0)
		return;
	values[1] = makeArrayResult(causes.routes, CurrentMemoryContext);
	values[2] = makeArrayResult(causes.weights, CurrentMemoryContext);
	values[3] = makeArrayResult(causes.becauses, CurrentMemoryContext);
	values[4] = makeArrayResult(causes.codes, CurrentMemoryContext);
	values[5] = makeArrayResult(causes.hints, CurrentMemoryContext);
	values[6] = makeArrayResult(causes.tenants, CurrentMemoryContext);
	values[7] = makeArrayResult(causes.keys, CurrentMemoryContext);
	OwnerEnterSpi(&scope);
	/* Compiling never pays for a few rows, but the planner may overestimate the cost of the query. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	n = OwnerExecute(query, lengthof(types), types, values, tenants == NULL ? "n       " : NULL);
	for (uint64 i = 0; i < n; i++)
		tuplestore_puttuple(rows, SPI_tuptable->vals[i]);
	OwnerLeaveSpi(&scope);
}
