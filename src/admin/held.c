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
#include "base/capability.h"
#include "claim/why_not.h"
#include "config/pool.h"
#include "config/route.h"
#include "store/catalog.h"
#include "store/owner.h"

/*
 * $1 is the array of tenants whose jobs the caller sees, or NULL for all.  $2 are the
 * ids of the routes whose jobs no worker would be given, $3 the reasons, $4 their codes,
 * and $5 the hints.  $6 are the codes of the kinds 1 to 3.
 */
static const char *const query =
	"WITH waiting AS ("
	" SELECT t.route_id, t.task_type, COALESCE(q.queue, 'default') AS queue, c.n"
	" FROM taskq.routes t LEFT JOIN taskq.queue_defs q USING (queue_id),"
	"  LATERAL (SELECT count(*) AS n FROM (SELECT FROM"
	"    (SELECT j.tenant_id FROM taskq.jobs j WHERE j.route_id = t.route_id AND j.gate = 'o'"
	"     UNION ALL SELECT j.tenant_id FROM taskq.jobs j WHERE j.route_id = t.route_id AND j.gate = 'l') j"
	"   WHERE ($1 IS NULL OR j.tenant_id = ANY ($1)) LIMIT 1001) l) c),"
	" held AS ("
	" SELECT 1 AS kind, 'paused queue' AS name, q.queue AS what, ': ' AS because, sum(w.n) AS n, max(w.n) AS most,"
	"  format('When its jobs may start, call taskq.resume_queue(%L).', q.queue) AS hint, ($6)[1] AS code"
	" FROM taskq.queue_defs q LEFT JOIN waiting w USING (queue) WHERE q.paused GROUP BY q.queue"
	" UNION ALL"
	" SELECT 2, 'paused task type', h.task_type, ': ', sum(w.n), max(w.n),"
	"  format('list_handlers() says in paused_because why taskq paused it; NULL means that an operator paused it. When the cause is gone, call taskq.resume_handler(%L).', h.task_type), ($6)[2]"
	" FROM taskq.handlers h LEFT JOIN waiting w USING (task_type) WHERE h.paused GROUP BY h.task_type"
	" UNION ALL"
	" SELECT 3, 'paused pool', p.pool,"
	"  CASE WHEN p.paused_because IS NULL THEN ': an operator paused it' ELSE ': its workers crashed the server' END, NULL, NULL,"
	"  CASE WHEN p.paused_because IS NULL THEN format('When it may start jobs, call taskq.resume_pool(%L).', p.pool)"
	"   ELSE format('See outcome \"crashed\" in taskq.attempts; when their cause is removed, call taskq.resume_pool(%L).', p.pool) END, ($6)[3]"
	" FROM taskq.pool_defs p WHERE p.paused"
	" UNION ALL"
	" SELECT 4, 'unroutable jobs', CASE count(DISTINCT w.task_type) WHEN 1 THEN 'type ' ELSE 'types ' END"
	"  || array_to_string((array_agg(DISTINCT w.task_type))[:3], ', ')"
	"  || CASE WHEN count(DISTINCT w.task_type) > 3 THEN format(' and %s more', count(DISTINCT w.task_type) - 3) ELSE '' END,"
	"  r.reason, sum(w.n), max(w.n), min(r.hint), r.code"
	" FROM unnest($2, $3, $4, $5) r (route_id, reason, code, hint) JOIN waiting w USING (route_id)"
	" WHERE w.n > 0 GROUP BY r.reason, r.code),"
	" told AS ("
	" SELECT kind, name, what, because, hint, code, row_number() OVER of_kind AS i, count(*) OVER (PARTITION BY kind) AS all_of_kind,"
	"  CASE WHEN most > 1000 THEN 'more than 1000' ELSE COALESCE(n, 0)::text END AS n, COALESCE(n, 0) = 1 AS single"
	" FROM held WINDOW of_kind AS (PARTITION BY kind ORDER BY n DESC NULLS LAST, what COLLATE \"C\"))"
	" SELECT name,"
	"  CASE WHEN i > 10 THEN format('and %s more', all_of_kind - 10)"
	"   WHEN kind IN (1, 2) THEN what || because || n || CASE WHEN single THEN ' job waits' ELSE ' jobs wait' END"
	"   WHEN kind = 3 THEN what || because"
	"   ELSE n || ' of ' || what || ': ' || because END,"
	"  CASE WHEN i > 10 THEN 'See ' || (ARRAY['taskq.queues', 'taskq.list_handlers()', 'taskq.pools', 'taskq.unroutable_jobs'])[kind] || '.' ELSE hint END, code"
	" FROM told WHERE i <= 11 ORDER BY kind, i";

/*
 * Lock the relations that the query reads.  Returns false if one of them cannot be
 * locked at once.  Indexes are included, because REINDEX locks only the index.
 */
static bool
IsReadable(void)
{
	static const TaskqRel rels[] = {
		REL_JOBS, REL_JOBS_PKEY, REL_JOBS_OPEN, REL_JOBS_LANES, REL_JOBS_ORDERED, REL_JOBS_RUNNING, REL_ROUTES, REL_QUEUES, REL_HANDLERS,
		REL_POOLS, REL_WORKERS, REL_INSTALLATION
	};

	for (int i = 0; i < lengthof(rels); i++)
		if (!ConditionalLockRelationOid(CatalogRel(rels[i]), AccessShareLock))
			return false;
	return true;
}

/* What query is given about the routes whose jobs no worker would be given. */
typedef struct Unroutable
{
	ArrayBuildState *ids;
	ArrayBuildState *reasons;
	ArrayBuildState *codes;
	ArrayBuildState *hints;
} Unroutable;

static const char *
HintFor(ReasonCode code)
{
	if (code == REASON_NO_HANDLER)
		return "Register the type with taskq.register_handler(), or correct the name where it is enqueued. See taskq.unroutable_jobs.";
	if (code == REASON_INVALID_CAPABILITIES)
		return "Discard the jobs with taskq.discard_job(), and enqueue them with capabilities that are valid. See taskq.unroutable_jobs.";
	return "See taskq.unroutable_jobs.";
}

static void
AddText(ArrayBuildState *texts, const char *text)
{
	(void) accumArrayResult(texts, CStringGetTextDatum(text), false, TEXTOID, CurrentMemoryContext);
}

/*
 * Add the routes whose jobs no worker would be given, with the reasons and the hints.
 * Left out are reasons that have a row of their own in status(), and those of rules of
 * admission, which let the jobs start later.
 */
static void
AddUnroutable(Unroutable *unroutable, const AnyWorker *any)
{
	int				   n;
	const TaskqRoute **routes = RoutesAll(&n);

	for (int i = 0; i < n; i++)
	{
		Reason reason;

		(void) WhyNot(NULL, any, routes[i], NULL, &reason);
		if (reason.code == REASON_NONE || reason.refusal.reason_code != REASON_NONE || StatusSaysWhy(reason.code))
			continue;
		(void) accumArrayResult(unroutable->ids, Int32GetDatum(routes[i]->route_id), false, INT4OID, CurrentMemoryContext);
		AddText(unroutable->reasons, reason.text);
		AddText(unroutable->codes, ReasonName(reason.code));
		AddText(unroutable->hints, HintFor(reason.code));
	}
}

static void
TellInvalid(Tuplestorestate *rows, TupleDesc desc, const char *whose, const char *token, const char *hint)
{
	Datum values[] = { CStringGetTextDatum("invalid capabilities"),
					   CStringGetTextDatum(psprintf("%s: %s", whose, token)), CStringGetTextDatum(hint),
					   CStringGetTextDatum(ReasonName(REASON_INVALID_CAPABILITIES)) };
	bool  nulls[lengthof(values)] = { false };

	tuplestore_putvalues(rows, desc, values, nulls);
}

/*
 * Name the pools and live workers with capabilities that are not valid.  Such a
 * capability is of no use, because no job that requires it is started.
 */
static void
TellInvalidCapabilities(Tuplestorestate *rows, TupleDesc desc, const AnyWorker *any)
{
	int				  n;
	const TaskqPool **pools = PoolsAll(&n);

	for (int i = 0; i < n; i++)
	{
		const char *token = CapabilityNotValid(pools[i]->capabilities);

		if (token != NULL)
			TellInvalid(rows, desc, psprintf("pool %s", pools[i]->name), token,
						"Give the pool other capabilities with taskq.alter_pool().");
	}
	for (int i = 0; i < any->n_external; i++)
	{
		const char *token = CapabilityNotValid(any->external[i].base.capabilities);

		if (token != NULL)
			TellInvalid(rows, desc, psprintf("worker %s", any->external[i].worker_id), token,
						"Register the worker again with taskq.register_worker().");
	}
}

/*
 * Add rows of (name, value, hint, reason_code) about the jobs of these tenants, or of
 * all if "tenants" is NULL.  Returns false, without waiting, if somebody has locked one
 * of the relations.
 */
bool
HeldTell(Tuplestorestate *rows, TupleDesc desc, ArrayType *tenants)
{
	Oid				 types[] = { TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID };
	Datum			 values[lengthof(types)] = { PointerGetDatum(tenants) };
	Unroutable		 unroutable;
	ArrayBuildState *codes = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	AnyWorker		 any;
	OwnerScope		 scope;
	uint64			 n;

	if (!IsReadable())
		return false;
	unroutable.ids = initArrayResult(INT4OID, CurrentMemoryContext, false);
	unroutable.reasons = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	unroutable.codes = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	unroutable.hints = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	AcceptInvalidationMessages();
	AnyWorkerRead(&any);
	AddUnroutable(&unroutable, &any);
	AddText(codes, ReasonName(REASON_QUEUE_PAUSED));
	AddText(codes, ReasonName(REASON_HANDLER_PAUSED));
	AddText(codes, ReasonName(REASON_POOL_PAUSED));
	values[1] = makeArrayResult(unroutable.ids, CurrentMemoryContext);
	values[2] = makeArrayResult(unroutable.reasons, CurrentMemoryContext);
	values[3] = makeArrayResult(unroutable.codes, CurrentMemoryContext);
	values[4] = makeArrayResult(unroutable.hints, CurrentMemoryContext);
	values[5] = makeArrayResult(codes, CurrentMemoryContext);
	OwnerEnterSpi(&scope);
	/* Compiling never pays for a few rows, but the planner may overestimate the cost of the query. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	n = OwnerExecute(query, lengthof(types), types, values, tenants == NULL ? "n     " : NULL);
	for (uint64 i = 0; i < n; i++)
		tuplestore_puttuple(rows, SPI_tuptable->vals[i]);
	OwnerLeaveSpi(&scope);
	TellInvalidCapabilities(rows, desc, &any);
	return true;
}
