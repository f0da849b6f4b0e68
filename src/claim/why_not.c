/*
 * why_not.c
 *	  Explaining why a route or a job does not run.  No other code answers this
 *	  question.
 *
 * The answer comes from the code that a claim uses: eligible.c decides whether a
 * claimant is given jobs of the route, and the rules of admission (admit.c) decide
 * whether the job may start.  explain_claim() asks about one claimant.
 * route_reasons, unroutable_jobs and describe_job() ask whether any worker would
 * run the route's jobs.  The codes and texts are in config/reason.h.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"

#include "base/names.h"
#include "claim/why_not.h"
#include "config/adopt.h"
#include "config/eligible.h"
#include "config/handler.h"
#include "config/limit.h"
#include "config/pool.h"
#include "job/admit.h"
#include "job/live.h"
#include "job/tenants.h"
#include "ready/key_lane.h"
#include "shared/slots.h"
#include "store/owner.h"

#define MAX_BEFORE 1000 /* groups that are counted */

/*
 * Return whether status() has a row about the cause, so that the reason need not be
 * told of each route again.
 */
bool
StatusSaysWhy(ReasonCode code)
{
	return code == REASON_QUEUE_PAUSED || code == REASON_HANDLER_PAUSED || code == REASON_POOL_PAUSED ||
		   code == REASON_NO_POOL_RUNS || code == REASON_NO_SLOT_FREE || code == REASON_NOT_ADOPTED;
}

/* What the workers of one kind, external or in the server, would do with a route's jobs. */
typedef struct Takers
{
	bool	   any;			  /* there is one; in the server: one of the handler's role */
	bool	   all_paused;	  /* all of them are paused */
	bool	   fits;		  /* one would be given the jobs */
	bool	   fits_implied;  /* a worker with an implicit registration would */
	bool	   fits_paused;	  /* one would if it were not paused */
	bool	   lacks_slot;	  /* one would if a slot for its process were free */
	bool	   other_tenants; /* one is bound to other tenants */
	ArrayType *missing;		  /* what the nearest of those lacks that lack only capabilities, or NULL */
} Takers;

/* Read what WhyNot() needs to answer for any worker. */
void
AnyWorkerRead(AnyWorker *any)
{
	any->external = WorkersAlive(&any->n_external);
}

/* Keep the smaller set of missing capabilities. */
static void
KeepNearest(ArrayType **missing, ArrayType *other)
{
	if (*missing == NULL || NamesCount(other) < NamesCount(*missing))
		*missing = other;
}

static void
LookAtExternal(const AnyWorker *any, const TaskqRoute *route, Takers *takers)
{
	for (int i = 0; i < any->n_external; i++)
	{
		const ExternalWorker *worker = &any->external[i];
		ReasonCode			  why = WhyNotRun(&worker->base, route);

		if (why == REASON_LACKS_CAPABILITIES)
			KeepNearest(&takers->missing, NamesMissing(worker->base.capabilities, route->capabilities));
		takers->other_tenants |= why == REASON_TENANT_NOT_TAKEN;
		if (why != REASON_NONE)
			continue;
		if (worker->standing == WORKER_IMPLICIT)
			takers->fits_implied = true;
		else
			takers->fits = true;
	}
}

/* Note what a pool of the handler's role would do with a route's jobs. */
static void
LookAtPool(const TaskqPool *pool, const TaskqRoute *route, Takers *takers)
{
	Claimant   claimant;
	ReasonCode why;
	SlotsState state;

	PoolWorker(pool, &claimant);
	why = WhyNotRun(&claimant, route);
	if (why == REASON_LACKS_CAPABILITIES && !pool->paused)
		KeepNearest(&takers->missing, NamesMissing(claimant.capabilities, route->capabilities));
	takers->other_tenants |= why == REASON_TENANT_NOT_TAKEN && !pool->paused;
	if (why != REASON_NONE)
		return;
	if (pool->paused)
	{
		takers->fits_paused = true;
		return;
	}
	state = SlotsStateOf(pool->name);
	takers->fits |= state == SLOTS_READY;
	takers->lacks_slot |= state == SLOTS_NONE_FREE;
}

static void
LookAtPools(const TaskqHandler *handler, const TaskqRoute *route, Takers *takers)
{
	int				  n;
	const TaskqPool **pools = PoolsAll(&n);

	takers->all_paused = true;
	for (int i = 0; i < n; i++)
	{
		if (pools[i]->role != handler->run_as || pools[i]->size <= 0)
			continue;
		takers->any = true;
		takers->all_paused &= pools[i]->paused;
		LookAtPool(pools[i], route, takers);
	}
}

/*
 * Return why no background worker runs the jobs of a route whose type is handled in
 * the server, or REASON_NONE if only no pool takes them.
 */
static ReasonCode
WhyNotInServer(const TaskqHandler *handler, const Takers *pools)
{
	if (SlotsStateOf(NULL) == SLOTS_NOT_RUNNING)
		return REASON_NO_POOL_RUNS;
	if (handler->cannot_run != REASON_NONE)
		return handler->cannot_run;
	if (!pools->any)
		return REASON_NO_POOL_FOR_ROLE;
	if (pools->all_paused || pools->fits_paused)
		return REASON_POOL_PAUSED;
	if (pools->lacks_slot)
		return REASON_NO_SLOT_FREE;
	return REASON_NONE;
}

/*
 * Return why no worker would be given jobs of the route now, or REASON_NONE if one
 * would.  If some lack only capabilities, *missing returns what the nearest one lacks.
 */
static ReasonCode
WhyNobodyRuns(const AnyWorker *any, const TaskqRoute *route, ArrayType **missing)
{
	const TaskqHandler *handler = HandlerFind(route->task_type);
	ReasonCode			why = WhyNoWorkerMay(handler, route);
	Takers				external = { 0 };
	Takers				pools = { 0 };

	if (why == REASON_NONE && route->not_valid != NULL)
		why = REASON_INVALID_CAPABILITIES;
	if (why != REASON_NONE)
		return why;
	if (handler->signature == NULL || handler->also_external)
		LookAtExternal(any, route, &external);
	if (handler->signature != NULL)
		LookAtPools(handler, route, &pools);
	if (external.fits || pools.fits)
		return REASON_NONE;
	if (external.fits_implied)
		return REASON_ONLY_IMPLICIT_WORKERS;
	if (handler->signature != NULL)
		why = WhyNotInServer(handler, &pools);
	if (why != REASON_NONE)
		return why;
	*missing = external.missing;
	if (pools.missing != NULL)
		KeepNearest(missing, pools.missing);
	if (*missing != NULL)
		return REASON_WAITING_FOR_CAPABLE_WORKER;
	return external.other_tenants || pools.other_tenants ? REASON_WAITING_FOR_TENANT_WORKER : REASON_NO_LIVE_WORKER;
}

/*
 * Return why one claimant is not given jobs of the route, or REASON_NONE.  Prefer a
 * reason about this route to one about all routes, unless the claimant is gone.
 */
static ReasonCode
WhyAskedDoesNot(const Asked *asked, const TaskqRoute *route, Reason *reason)
{
	ReasonCode why = asked->gone ? REASON_NONE : WhyNotRun(&asked->claimant, route);

	if (why == REASON_LACKS_CAPABILITIES)
		reason->missing = NamesMissing(asked->claimant.capabilities, route->capabilities);
	if (why != REASON_NONE)
		return why;
	reason->text = asked->refusal.reason;
	return asked->code;
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

/* Return the text of a reason that is about a route. */
static const char *
TextFor(ReasonCode code, const TaskqRoute *route)
{
	switch (code)
	{
		case REASON_HANDLER_UNRESOLVED:
		case REASON_HANDLER_UNRUNNABLE:
			return psprintf("handler %s", HandlerFind(route->task_type)->status);
		case REASON_INVALID_CAPABILITIES:
			return psprintf("required capability %s is not valid", route->not_valid);
		default:
			return ReasonText(code);
	}
}

/*
 * Return why the route's jobs are not given to the claimant in "asked", or to any
 * worker in "any".  One of these two is NULL.  If a job is given, return why this
 * job does not start.  Returns REASON_NONE if nothing prevents it.  *reason returns
 * the same, and more.
 */
ReasonCode
WhyNot(const Asked *asked, const AnyWorker *any, const TaskqRoute *route, const TaskqJob *job, Reason *reason)
{
	AdmissionQuestion question = { .route = route, .job = job };

	Assert((asked == NULL) != (any == NULL));
	memset(reason, 0, sizeof(*reason));
	if (!AdoptedHere())
		reason->code = REASON_NOT_ADOPTED;
	else if (asked != NULL)
		reason->code = WhyAskedDoesNot(asked, route, reason);
	else
		reason->code = WhyNobodyRuns(any, route, &reason->missing);
	if (reason->code == REASON_NONE)
	{
		question.claimant = asked != NULL ? &asked->claimant : NULL;
		(void) WhyNotAdmitted(&question, &reason->refusal);
		reason->code = reason->refusal.reason_code;
		reason->text = reason->refusal.reason;
	}
	if (reason->text == NULL)
		reason->text = TextFor(reason->code, route);
	return reason->code;
}

/* Return what all rules of admission say that prevent a start of the job, as a list of Reason *. */
static List *
RefusalsOf(const TaskqRoute *route, const TaskqJob *job)
{
	AdmissionQuestion question = { .route = route, .job = job };
	List			 *reasons = NIL;
	OwnerScope		  scope;
	int				  rule = 0;

	OwnerEnter(&scope);
	for (;;)
	{
		Reason *reason = palloc0(sizeof(Reason));

		rule = AdmitExplainFrom(rule, &question, &reason->refusal);
		if (rule == 0)
			break;
		reason->code = reason->refusal.reason_code;
		reason->text = reason->refusal.reason;
		reasons = lappend(reasons, reason);
	}
	OwnerLeave(&scope);
	return reasons;
}

/*
 * If a job of a fair queue waits only for its turn, say how many groups are before its own, to
 * those who see the jobs of all tenants.  Returns NULL if there is nothing to say.
 */
const char *
WhoseTurn(int64 job_id)
{
	TaskqJob job;
	int		 n;

	if (TenantsSeen(false) != NULL || !LiveFind(job_id, &job) || LimitsOfRoute(job.route_id)->turns.queue_id == 0)
		return NULL;
	n = KeyLanesBefore(job.route_id, job.lane, MAX_BEFORE);
	if (n < 0)
		return NULL;
	return psprintf("waits for its turn; groups before its own: %d%s", n, n >= MAX_BEFORE ? " or more" : "");
}

/*
 * Find out why this waiting job does not start.  Returns a list of Reason *, the most useful one
 * first: what must be changed before any worker may be given the job, or before one can be.
 * Then come the rules of admission, which let the job start later.  Workers that are not registered
 * do take the job, so that is the last one.
 */
List *
WhyJobWaits(int64 job_id)
{
	TaskqJob		  job;
	AnyWorker		  any;
	const TaskqRoute *route;
	Reason			 *reason = palloc(sizeof(Reason));
	List			 *refusals;

	AcceptInvalidationMessages();
	AnyWorkerRead(&any);
	if (!LiveFind(job_id, &job) || (job.state != JOB_AVAILABLE && job.state != JOB_RETRYABLE))
		return NIL;
	route = RouteById(job.route_id);
	refusals = RefusalsOf(route, &job);
	if (WhyNot(NULL, &any, route, &job, reason) == REASON_NONE || reason->refusal.reason_code != REASON_NONE)
		return refusals;
	return reason->code == REASON_ONLY_IMPLICIT_WORKERS ? lappend(refusals, reason) : lcons(reason, refusals);
}
