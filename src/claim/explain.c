/*
 * explain.c
 *	  Explaining claims to people.  explain_claim() shows the routes, whether a
 *	  worker is given their jobs, and why not; jobs_of_route() shows the next jobs
 *	  of a route.
 *
 * explain_claim() asks the same questions as a claim (why_not.c), but claims
 * nothing.  It neither registers the worker nor notes that the worker was seen.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/capability.h"
#include "base/clock.h"
#include "base/rows.h"
#include "base/signature.h"
#include "claim/external_worker.h"
#include "claim/external_worker_row.h"
#include "claim/standing.h"
#include "claim/why_not.h"
#include "config/eligible.h"
#include "config/pool.h"
#include "config/route.h"
#include "job/admit.h"
#include "job/tenants.h"
#include "job/whose.h"
#include "shared/shmem.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_explain_claim);
PG_FUNCTION_INFO_V1(taskq_jobs_of_route);

static const Oid explain_columns[] = { INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, BOOLOID, BOOLOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTARRAYOID, NUMERICOID, TEXTOID };

#define EXPLAIN_COLUMNS lengthof(explain_columns)
#define BUDGET_COLUMNS (EXPLAIN_COLUMNS - 3) /* budgets and estimated_cost */
#define TENANT_COLUMN (EXPLAIN_COLUMNS - 1)

/*
 * Return the pool of the background worker with this id, and whether that worker
 * was told to leave.
 */
static const TaskqPool *
PoolOfWorker(const char *worker_id, bool *leaves)
{
	for (int i = 0; ShmemPresent() && i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];
		char	   pool[TASKQ_NAME_MAX + 1];
		bool	   found;

		LWLockAcquire(&slot->lock, LW_SHARED);
		found = slot->worker && slot->dboid == MyDatabaseId && strcmp(slot->worker_id, worker_id) == 0;
		if (found)
			strlcpy(pool, slot->pool, sizeof(pool));
		*leaves = found && slot->leave;
		LWLockRelease(&slot->lock);
		if (found)
			return PoolFind(pool);
	}
	return NULL;
}

/* A caller who may not claim at all asks on behalf of others. */
static void
AskExternal(const WorkerName *name, ArrayType *narrow, Asked *asked)
{
	ExternalWorker worker;
	bool		   of_others;

	StandingOf(name, narrow, &worker);
	of_others = WhoseMayWork() && WorkerIsOfOthers(&worker, GetUserId());
	if (of_others)
		worker.base.capabilities = NULL; /* their digest is not shown */
	asked->claimant = worker.base;
	asked->code = StandingWhyNot(&worker, narrow);
	if (asked->code == REASON_NONE && worker.draining)
		asked->code = REASON_WORKER_DRAINING;
	asked->gone = worker.standing == WORKER_ENDED || worker.draining;
	if (asked->code != REASON_NONE)
		return;

	if (of_others || (WhoseMayWork() && worker.standing == WORKER_UNKNOWN && WorkerIdIsOfOthers(name, GetUserId())))
		asked->code = REASON_WORKER_OF_OTHER_ROLE;
	else
	{
		AdmissionQuestion question = { .claimant = &worker.base, .worker = name };

		(void) WhyNotAdmitted(&question, &asked->refusal);
		asked->code = asked->refusal.reason_code;
	}
}

static void
AskBackground(const TaskqPool *pool, bool leaves, Asked *asked)
{
	PoolWorker(pool, &asked->claimant);
	asked->gone = leaves;
	if (leaves)
		asked->code = REASON_WORKER_DRAINING;
	else if (pool->paused)
		asked->code = REASON_POOL_PAUSED;
}

/*
 * Which tenants does the caller ask about?  NULL means all.  Workers and operators
 * act on the jobs of all tenants; an observer asks about the tenants that it sees.
 */
static ArrayType *
TenantsAskedAbout(void)
{
	return WhoseMayWork() || WhoseMayOperate() ? NULL : TenantsSeen(false);
}

/* Return the ids of the routes that have a due job, as an array of integers. */
static ArrayType *
RoutesDue(void)
{
	ArrayType	 *tenants = TenantsAskedAbout();
	Oid			  types[] = { TIMESTAMPTZOID, TEXTARRAYOID };
	Datum		  values[] = { TimestampTzGetDatum(ClockNow()), PointerGetDatum(tenants) };
	MemoryContext context = CurrentMemoryContext;
	OwnerScope	  scope;
	Datum		  due;
	bool		  isnull;

	OwnerEnterSpi(&scope);
	OwnerExecute("SELECT ARRAY(SELECT route_id FROM taskq.routes r WHERE EXISTS (SELECT FROM taskq.jobs j"
				 " WHERE j.route_id = r.route_id AND j.gate = 'o' AND j.run_at <= $1"
				 " AND ($2 IS NULL OR j.tenant_id = ANY ($2)))"
				 " OR EXISTS (SELECT FROM taskq.jobs j"
				 " WHERE j.route_id = r.route_id AND j.gate = 'l' AND j.run_at <= $1"
				 " AND ($2 IS NULL OR j.tenant_id = ANY ($2))))",
				 2, types, values, tenants == NULL ? " n" : NULL);
	due = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	MemoryContextSwitchTo(context);
	due = PointerGetDatum(DatumGetArrayTypePCopy(due));
	OwnerLeaveSpi(&scope);
	return DatumGetArrayTypeP(due);
}

static bool
IsDue(ArrayType *due, int32 route_id)
{
	int	   n = ArrayGetNItems(ARR_NDIM(due), ARR_DIMS(due));
	int32 *ids = (int32 *) ARR_DATA_PTR(due);

	for (int i = 0; i < n; i++)
		if (ids[i] == route_id)
			return true;
	return false;
}

/* Set the columns from "due" on, and add the row. */
static void
PutClaim(ReturnSetInfo *result, const Asked *asked, bool due, const Reason *reason, Datum *values, bool *nulls)
{
	char *digest = CapabilitiesDigest(asked->claimant.capabilities);

	values[5] = BoolGetDatum(due);
	values[6] = BoolGetDatum(reason->code == REASON_NONE);
	PutReasonColumns(reason, &values[7], &nulls[7]);
	values[7 + REASON_COLUMNS] = digest == NULL ? (Datum) 0 : CStringGetTextDatum(digest);
	nulls[7 + REASON_COLUMNS] = digest == NULL;
	nulls[BUDGET_COLUMNS] = values[BUDGET_COLUMNS] == (Datum) 0;
	nulls[BUDGET_COLUMNS + 1] = values[BUDGET_COLUMNS + 1] == (Datum) 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Add a row without a route, because there are no routes but there is a reason. */
static void
PutNoRoute(ReturnSetInfo *result, const Asked *asked)
{
	Reason reason = { .code = asked->code, .text = asked->refusal.reason };
	Datum  values[EXPLAIN_COLUMNS] = { 0 };
	bool   nulls[EXPLAIN_COLUMNS] = { true, true, true, true, true, [TENANT_COLUMN] = true };

	if (reason.text == NULL)
		reason.text = ReasonText(reason.code);
	PutClaim(result, asked, false, &reason, values, nulls);
}

/*
 * Add the row of a route.  An observer of some tenants may not know the budgets of other
 * jobs; those of jobs of its tenants it sees in all_jobs, too.
 */
static void
PutRoute(ReturnSetInfo *result, const Asked *asked, const TaskqRoute *route, bool due, bool sees_budgets)
{
	Reason reason;
	Datum  values[EXPLAIN_COLUMNS] = { 0 };
	bool   nulls[EXPLAIN_COLUMNS] = { false };

	(void) WhyNot(asked, NULL, route, NULL, &reason);
	if (!sees_budgets)
		ReasonHideBudget(&reason);
	PutRouteColumns(route, values, nulls);
	if (sees_budgets && route->budgets != NULL)
		values[BUDGET_COLUMNS] = PointerGetDatum(route->budgets);
	if (sees_budgets && route->estimated_cost != 0)
		values[BUDGET_COLUMNS + 1] = CostDatum(route->estimated_cost);
	PutTenantColumn(route, &values[TENANT_COLUMN], &nulls[TENANT_COLUMN]);
	PutClaim(result, asked, due, &reason, values, nulls);
}

Datum
taskq_explain_claim(PG_FUNCTION_ARGS)
{
	const TaskqRoute **routes;
	int				   n;
	Asked			   asked = { 0 };
	char			  *worker_id;
	WorkerName		   name;
	const TaskqPool	  *pool;
	bool			   leaves = false;
	ArrayType		  *narrow;
	ArrayType		  *due;
	bool			   sees_all;

	CheckCall(fcinfo);
	PreventCommandDuringRecovery("taskq.explain_claim()");
	BeginRows(fcinfo, EXPLAIN_COLUMNS, explain_columns);
	worker_id = PG_ARGISNULL(0) ? SessionWorkerId() : ArgWorkerId(fcinfo, 0, "worker_id");
	name = WorkerNameOf(worker_id, ArgNameOrNull(fcinfo, 2, "instance_id"));
	StandingCheckInstance(&name);
	narrow = ArgSomeNamesOrNull(fcinfo, 1, "task_types");
	sees_all = TenantsAskedAbout() == NULL;
	due = RoutesDue();
	AcceptInvalidationMessages();
	pool = PoolOfWorker(worker_id, &leaves);
	if (pool != NULL)
		AskBackground(pool, leaves, &asked);
	else if (IsServerWorkerId(worker_id))
	{
		asked.code = REASON_WORKER_UNKNOWN;
		asked.gone = true;
	}
	else
		AskExternal(&name, narrow, &asked);
	asked.claimant.narrow = narrow;
	asked.claimant.narrow_tenants = ArgSomeNamesOrNull(fcinfo, 3, "tenants");
	routes = RoutesAll(&n);
	for (int i = 0; i < n; i++)
	{
		bool is_due = IsDue(due, routes[i]->route_id);

		PutRoute((ReturnSetInfo *) fcinfo->resultinfo, &asked, routes[i], is_due, sees_all || is_due);
	}
	if (n == 0 && asked.code != REASON_NONE)
		PutNoRoute((ReturnSetInfo *) fcinfo->resultinfo, &asked);
	return (Datum) 0;
}

/*
 * Return the waiting jobs of a route, in the order of a claim.  The claim's index
 * selects their ids first, and the view is then read by those ids.
 */
Datum
taskq_jobs_of_route(PG_FUNCTION_ARGS)
{
	static const char *const query =
		"SELECT a.* FROM (SELECT * FROM ("
		"   (SELECT job_id, priority, run_at FROM taskq.jobs"
		"    WHERE route_id = $1 AND gate = 'o' AND ($3 IS NULL OR tenant_id = ANY ($3))"
		"    ORDER BY priority, run_at, job_id LIMIT $2)"
		"   UNION ALL"
		"   (SELECT job_id, priority, run_at FROM taskq.jobs"
		"    WHERE route_id = $1 AND gate = 'l' AND ($3 IS NULL OR tenant_id = ANY ($3))"
		"    ORDER BY priority, run_at, job_id LIMIT $2)) o"
		"  ORDER BY priority, run_at, job_id LIMIT $2) j,"
		" LATERAL (SELECT * FROM taskq.all_jobs WHERE job_id = j.job_id) a"
		" ORDER BY j.priority, j.run_at, j.job_id";
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			   types[] = { INT4OID, INT4OID, TEXTARRAYOID };
	Datum		   values[3];
	ArrayType	  *tenants;
	OwnerScope	   scope;
	uint64		   n;

	CheckCall(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	values[0] = Int32GetDatum(ArgInt(fcinfo, 0, "route_id", PG_INT32_MIN, PG_INT32_MAX));
	values[1] = Int32GetDatum(ArgInt(fcinfo, 1, "max_jobs", 1, TASKQ_MAX_BATCH));
	tenants = TenantsSeen(false);
	values[2] = PointerGetDatum(tenants);
	OwnerEnterSpi(&scope);
	n = OwnerExecute(query, 3, types, values, tenants == NULL ? "  n" : NULL);
	CheckSameColumns(result->setDesc, SPI_tuptable->tupdesc);
	for (uint64 i = 0; i < n; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	OwnerLeaveSpi(&scope);
	return (Datum) 0;
}
