/*
 * held.c
 *	  Report to status() what holds jobs back: queues, task types and pools that are
 *	  paused, and jobs for which there is no worker.
 *
 * status() must answer at once, so at most 1000 waiting jobs of each route are
 * counted, and at most ten rows of each kind are listed.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/tuplestore.h"

#include "admin/held.h"
#include "claim/why_not.h"
#include "config/eligible.h"
#include "config/route.h"
#include "store/catalog.h"
#include "store/owner.h"

/*
 * $1 is the array of tenants whose jobs the caller sees, or NULL for all.  $2 are the
 * ids of the routes whose jobs no worker would be given, $3 the reasons, and $4 the
 * hints.
 */
static const char *const query =
	"WITH waiting AS ("
	" SELECT t.route_id, t.task_type, COALESCE(q.queue, 'default') AS queue, c.n"
	" FROM taskq.routes t LEFT JOIN taskq.queue_defs q USING (queue_id),"
	"  LATERAL (SELECT count(*) AS n FROM (SELECT FROM taskq.jobs j WHERE j.route_id = t.route_id AND j.gate = 'o'"
	"   AND ($1 IS NULL OR j.tenant_id = ANY ($1)) LIMIT 1001) l) c),"
	" held AS ("
	" SELECT 1 AS kind, 'paused queue' AS name, q.queue AS what, ': ' AS because, sum(w.n) AS n, max(w.n) AS most,"
	"  format('When its jobs may start, call taskq.resume_queue(%L).', q.queue) AS hint"
	" FROM taskq.queue_defs q LEFT JOIN waiting w USING (queue) WHERE q.paused GROUP BY q.queue"
	" UNION ALL"
	" SELECT 2, 'paused task type', h.task_type, ': ', sum(w.n), max(w.n),"
	"  format('list_handlers() says in paused_because why taskq paused it; NULL means that an operator paused it. When the cause is gone, call taskq.resume_handler(%L).', h.task_type)"
	" FROM taskq.handlers h LEFT JOIN waiting w USING (task_type) WHERE h.paused GROUP BY h.task_type"
	" UNION ALL"
	" SELECT 3, 'paused pool', p.pool,"
	"  CASE WHEN p.paused_because IS NULL THEN ': an operator paused it' ELSE ': its workers crashed the server' END, NULL, NULL,"
	"  CASE WHEN p.paused_because IS NULL THEN format('When it may start jobs, call taskq.resume_pool(%L).', p.pool)"
	"   ELSE format('See outcome \"crashed\" in taskq.attempts; when their cause is removed, call taskq.resume_pool(%L).', p.pool) END"
	" FROM taskq.pool_defs p WHERE p.paused"
	" UNION ALL"
	" SELECT 4, 'unroutable jobs', CASE count(DISTINCT w.task_type) WHEN 1 THEN 'type ' ELSE 'types ' END"
	"  || array_to_string((array_agg(DISTINCT w.task_type))[:3], ', ')"
	"  || CASE WHEN count(DISTINCT w.task_type) > 3 THEN format(' and %s more', count(DISTINCT w.task_type) - 3) ELSE '' END,"
	"  r.reason, sum(w.n), max(w.n), min(r.hint)"
	" FROM unnest($2, $3, $4) r (route_id, reason, hint) JOIN waiting w USING (route_id)"
	" WHERE w.n > 0 GROUP BY r.reason),"
	" told AS ("
	" SELECT kind, name, what, because, hint, row_number() OVER of_kind AS i, count(*) OVER (PARTITION BY kind) AS all_of_kind,"
	"  CASE WHEN most > 1000 THEN 'more than 1000' ELSE COALESCE(n, 0)::text END AS n, COALESCE(n, 0) = 1 AS single"
	" FROM held WINDOW of_kind AS (PARTITION BY kind ORDER BY n DESC NULLS LAST, what COLLATE \"C\"))"
	" SELECT name,"
	"  CASE WHEN i > 10 THEN format('and %s more', all_of_kind - 10)"
	"   WHEN kind IN (1, 2) THEN what || because || n || CASE WHEN single THEN ' job waits' ELSE ' jobs wait' END"
	"   WHEN kind = 3 THEN what || because"
	"   ELSE n || ' of ' || what || ': ' || because END,"
	"  CASE WHEN i > 10 THEN 'See ' || (ARRAY['taskq.queues', 'taskq.list_handlers()', 'taskq.pools', 'taskq.unroutable_jobs'])[kind] || '.' ELSE hint END"
	" FROM told WHERE i <= 11 ORDER BY kind, i";

/*
 * Lock the relations that the query reads.  Returns false if one of them cannot be
 * locked at once.  Indexes are included, because REINDEX locks only the index.
 */
static bool
IsReadable(void)
{
	static const TaskqRel rels[] = {
		REL_JOBS, REL_JOBS_PKEY, REL_JOBS_OPEN, REL_JOBS_RUNNING, REL_ROUTES, REL_QUEUES, REL_HANDLERS,
		REL_POOLS, REL_WORKERS, REL_INSTALLATION
	};

	for (int i = 0; i < lengthof(rels); i++)
		if (!ConditionalLockRelationOid(CatalogRel(rels[i]), AccessShareLock))
			return false;
	return true;
}

/*
 * Append to three arrays the routes whose jobs no worker would be given, with the
 * reasons and the hints.  Left out are reasons that have a row of their own in
 * status(), and those of rules of admission, which let the jobs start later.
 */
static void
AddUnroutable(ArrayBuildState *ids, ArrayBuildState *reasons, ArrayBuildState *hints)
{
	AnyWorker		   any;
	const TaskqRoute **routes;
	int				   n;

	AcceptInvalidationMessages();
	AnyWorkerRead(&any);
	routes = RoutesAll(&n);
	for (int i = 0; i < n; i++)
	{
		const TaskqRoute *route = routes[i];
		Refusal			  refusal;
		const char		 *reason = WhyNot(NULL, &any, route, NULL, &refusal);
		const char		 *hint = "See taskq.unroutable_jobs.";

		if (reason == NULL || refusal.reason != NULL || StatusSaysWhy(reason))
			continue;
		if (reason == why_no_handler)
			hint = "Register the type with taskq.register_handler(), or correct the name where it is enqueued. See taskq.unroutable_jobs.";
		(void) accumArrayResult(ids, Int32GetDatum(route->route_id), false, INT4OID, CurrentMemoryContext);
		(void) accumArrayResult(reasons, CStringGetTextDatum(reason), false, TEXTOID, CurrentMemoryContext);
		(void) accumArrayResult(hints, CStringGetTextDatum(hint), false, TEXTOID, CurrentMemoryContext);
	}
}

/*
 * Add rows of (name, value, hint) about the jobs of these tenants, or of all if
 * "tenants" is NULL.  Returns false, without waiting, if somebody has locked one of
 * the relations.
 */
bool
HeldTell(Tuplestorestate *rows, ArrayType *tenants)
{
	Oid				 types[] = { TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID };
	Datum			 values[lengthof(types)] = { PointerGetDatum(tenants) };
	ArrayBuildState *ids = initArrayResult(INT4OID, CurrentMemoryContext, false);
	ArrayBuildState *reasons = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	ArrayBuildState *hints = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	OwnerScope		 scope;
	uint64			 n;

	if (!IsReadable())
		return false;
	AddUnroutable(ids, reasons, hints);
	values[1] = makeArrayResult(ids, CurrentMemoryContext);
	values[2] = makeArrayResult(reasons, CurrentMemoryContext);
	values[3] = makeArrayResult(hints, CurrentMemoryContext);
	OwnerEnterSpi(&scope);
	/* Compiling never pays for a few rows, but the planner may overestimate the cost of the query. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	n = OwnerExecute(query, lengthof(types), types, values, tenants == NULL ? "n   " : NULL);
	for (uint64 i = 0; i < n; i++)
		tuplestore_puttuple(rows, SPI_tuptable->vals[i]);
	OwnerLeaveSpi(&scope);
	return true;
}
