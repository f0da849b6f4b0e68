/*
 * why_not.c
 *	  Explaining why a route or a job does not run.  No other code answers this
 *	  question.
 *
 * The answer comes from the code that a claim uses: eligible.c decides whether a
 * claimant is given jobs of the route, and the rules of admission (admit.c) decide
 * whether the job may start.  explain_claim() asks about one claimant.
 * route_reasons, unroutable_jobs and describe_job() ask whether any worker would
 * run the route's jobs.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/rows.h"
#include "claim/why_not.h"
#include "config/adopt.h"
#include "config/eligible.h"
#include "config/handler.h"
#include "config/pool.h"
#include "job/admit.h"
#include "job/live.h"
#include "shared/slots.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_explain_routes);

static const Oid explain_routes_columns[] = { INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID };

#define EXPLAIN_ROUTES_COLUMNS lengthof(explain_routes_columns)

static const char no_pool_runs[] = "no pool is running in this database, see taskq.status()";
const char		  why_pool_paused[] = "pool paused";
static const char no_slot_free[] = "no background worker slot is free, see taskq.status()";
static const char not_adopted[] = "database not adopted, see taskq.adopt_database()";

/*
 * Return whether status() has a row about the cause, so that the reason need not be
 * told of each route again.
 */
bool
StatusSaysWhy(const char *reason)
{
	return reason == why_queue_paused || reason == why_handler_paused || reason == why_pool_paused ||
		   reason == no_pool_runs || reason == no_slot_free || reason == not_adopted;
}

/* What the workers of one kind, external or in the server, would do with a route's jobs. */
typedef struct Takers
{
	bool any;		   /* there is one; in the server: one of the handler's role */
	bool all_paused;   /* all of them are paused */
	bool takes;		   /* one takes the route's type and queue */
	bool fits;		   /* one would be given its jobs */
	bool fits_implied; /* a worker with an implicit registration would */
	bool lacks_slot;   /* one would if a slot for its process were free */
} Takers;

/* Return why no worker is given a route's jobs.  "takes" says whether one takes its type. */
static const char *
WhyNobodyTakes(bool takes)
{
	return takes ? "no live worker with the capabilities" : "no live worker with the type";
}

/* Read what WhyNot() needs to answer for any worker. */
void
AnyWorkerRead(AnyWorker *any)
{
	any->external = WorkersAlive(&any->n_external);
}

static void
LookAtExternal(const AnyWorker *any, const TaskqRoute *route, Takers *takers)
{
	for (int i = 0; i < any->n_external; i++)
	{
		const ExternalWorker *worker = &any->external[i];

		if (!ClaimantTakes(&worker->base, route))
			continue;
		takers->takes = true;
		if (WhyNotRun(&worker->base, route) != NULL)
			continue;
		if (worker->standing == WORKER_IMPLICIT)
			takers->fits_implied = true;
		else
			takers->fits = true;
	}
}

static void
LookAtPools(const TaskqHandler *handler, const TaskqRoute *route, Takers *takers)
{
	int				  n;
	const TaskqPool **pools = PoolsAll(&n);

	takers->all_paused = true;
	for (int i = 0; i < n; i++)
	{
		const TaskqPool *pool = pools[i];
		Claimant		 claimant;
		SlotsState		 state;

		if (pool->role != handler->run_as || pool->size <= 0)
			continue;
		takers->any = true;
		takers->all_paused &= pool->paused;
		PoolWorker(pool, &claimant);
		if (!ClaimantTakes(&claimant, route))
			continue;
		takers->takes = true;
		if (pool->paused || WhyNotRun(&claimant, route) != NULL)
			continue;
		state = SlotsStateOf(pool->name);
		takers->fits |= state == SLOTS_READY;
		takers->lacks_slot |= state == SLOTS_NONE_FREE;
	}
}

/*
 * Return why no background worker runs the jobs of a route whose type is handled in
 * the server.
 */
static const char *
WhyNotInServer(const TaskqHandler *handler, const Takers *pools)
{
	const char *reason = WhyHandlerCannotRun(handler);

	if (SlotsStateOf(NULL) == SLOTS_NOT_RUNNING)
		return no_pool_runs;
	if (reason != NULL)
		return reason;
	if (!pools->any)
		return "no pool for the handler's role";
	if (pools->all_paused)
		return why_pool_paused;
	if (pools->lacks_slot)
		return no_slot_free;
	return WhyNobodyTakes(pools->takes);
}

/* Return why no worker would be given jobs of the route now, or NULL if one would. */
static const char *
WhyNobodyRuns(const AnyWorker *any, const TaskqRoute *route)
{
	const TaskqHandler *handler = HandlerFind(route->task_type);
	const char		   *reason = WhyNoWorkerMay(handler, route);
	Takers				external = { 0 };
	Takers				pools = { 0 };

	if (reason != NULL)
		return reason;
	if (handler->signature == NULL || handler->also_external)
		LookAtExternal(any, route, &external);
	if (handler->signature != NULL)
		LookAtPools(handler, route, &pools);
	if (external.fits || pools.fits)
		return NULL;
	if (external.fits_implied)
		return "only implicit workers take the type, see taskq.register_worker()";
	if (handler->signature != NULL)
		return WhyNotInServer(handler, &pools);
	return WhyNobodyTakes(external.takes);
}

/*
 * Return why one claimant is not given jobs of the route, or NULL.  Prefer a reason
 * about this route to one about all routes, unless the claimant is gone.
 */
static const char *
WhyAskedDoesNot(const Asked *asked, const TaskqRoute *route)
{
	const char *reason = asked->gone ? NULL : WhyNotRun(&asked->claimant, route);

	return reason != NULL ? reason : asked->reason;
}

/* Ask the rules of admission, as the owner. */
bool
WhyNotAdmitted(const AdmissionQuestion *question, Refusal *refusal)
{
	OwnerScope scope;
	bool	   refused;

	OwnerEnter(&scope);
	refused = AdmitExplain(question, refusal);
	OwnerLeave(&scope);
	return refused;
}

/*
 * Return why the route's jobs are not given to the claimant in "asked", or to any
 * worker in "any".  One of these two is NULL.  If a job is given, return why this
 * job does not start.  Returns NULL if nothing prevents it.
 *
 * "refusal" returns what a rule of admission says.  Its reason is NULL if the reason
 * is not that of a rule.
 */
const char *
WhyNot(const Asked *asked, const AnyWorker *any, const TaskqRoute *route, const TaskqJob *job, Refusal *refusal)
{
	AdmissionQuestion question = { .route = route, .job = job };
	const char		 *reason;

	Assert((asked == NULL) != (any == NULL));
	memset(refusal, 0, sizeof(*refusal));
	if (!AdoptedHere())
		return not_adopted;
	reason = asked != NULL ? WhyAskedDoesNot(asked, route) : WhyNobodyRuns(any, route);
	if (reason != NULL)
		return reason;
	question.claimant = asked != NULL ? &asked->claimant : NULL;
	(void) WhyNotAdmitted(&question, refusal);
	return refusal->reason;
}

/*
 * Return why this waiting job does not start, or NULL if nothing prevents it or it
 * does not wait.
 */
const char *
WhyJobWaits(int64 job_id)
{
	TaskqJob  job;
	AnyWorker any;
	Refusal	  refusal;

	AcceptInvalidationMessages();
	AnyWorkerRead(&any);
	if (!LiveFind(job_id, &job) || (job.state != JOB_AVAILABLE && job.state != JOB_RETRYABLE))
		return NULL;
	return WhyNot(NULL, &any, RouteById(job.route_id), &job, &refusal);
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

/* Return every route, and why no worker would be given jobs of it now. */
Datum
taskq_explain_routes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo	  *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AnyWorker		   any;
	const TaskqRoute **routes;
	int				   n;

	CheckArgCount(fcinfo, 0);
	BeginRows(fcinfo, EXPLAIN_ROUTES_COLUMNS, explain_routes_columns);
	AcceptInvalidationMessages();
	AnyWorkerRead(&any);
	routes = RoutesAll(&n);
	for (int i = 0; i < n; i++)
	{
		const TaskqRoute *route = routes[i];
		Refusal			  refusal;
		const char		 *reason = WhyNot(NULL, &any, route, NULL, &refusal);
		Datum			  values[EXPLAIN_ROUTES_COLUMNS];
		bool			  nulls[EXPLAIN_ROUTES_COLUMNS] = { false };

		CHECK_FOR_INTERRUPTS();
		PutRouteColumns(route, values, nulls);
		values[5] = CStringGetTextDatum(reason == NULL ? "" : reason);
		nulls[5] = reason == NULL;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
