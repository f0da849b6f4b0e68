/*
 * eligible.c
 *	  Deciding whether a worker may run jobs of a route.  Nothing else decides this.
 *
 * The answer is computed per route, not per job.  A claim then reads only the index
 * ranges of the worker's routes, and jobs of other workers cost nothing.
 */
#include "taskq.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/version.h"
#include "config/adopt.h"
#include "config/eligible.h"
#include "config/handler.h"
#include "config/limit.h"
#include "config/queue.h"

/*
 * Return why no worker at all is given jobs of a route, or REASON_NONE.  While a type
 * is on trial (pause.c), background workers are given its jobs.  The handler is that of
 * the route's type, or NULL.
 */
ReasonCode
WhyNoWorkerMay(const TaskqHandler *handler, const TaskqRoute *route)
{
	if (handler == NULL)
		return REASON_NO_HANDLER;
	if (route->min_version[0] != '\0' && !VersionAtLeast(handler->version, route->min_version))
		return REASON_HANDLER_TOO_OLD;
	if (QueueById(route->queue_id)->paused)
		return REASON_QUEUE_PAUSED;
	if (handler->paused && !handler->on_trial)
		return REASON_HANDLER_PAUSED;
	return REASON_NONE;
}

/*
 * Return why a background worker does not run the type of this handler, or
 * REASON_NONE.
 */
static ReasonCode
WhyNotInside(const Claimant *worker, const TaskqHandler *handler)
{
	if (handler->signature == NULL)
		return REASON_TYPE_EXTERNAL;
	if (handler->run_as != worker->role)
		return REASON_OTHER_ROLE;
	if (handler->cannot_run != REASON_NONE)
		return handler->cannot_run;
	if (worker->by_hand && handler->paused)
		return REASON_HANDLER_PAUSED;
	if (worker->by_hand && handler->form.stepwise)
		return REASON_PROCEDURE;
	return REASON_NONE;
}

/*
 * Return why an external worker does not run the type of this handler, or
 * REASON_NONE.
 */
static ReasonCode
WhyNotOutside(const TaskqHandler *handler)
{
	if (handler->signature != NULL && !handler->also_external)
		return REASON_TYPE_IN_SERVER;
	if (handler->paused)
		return REASON_HANDLER_PAUSED;
	return REASON_NONE;
}

/*
 * Return why a worker that brings its own handler does not run a type, or
 * REASON_NONE.  A worker that may change the registered handler may also run jobs in
 * place of it.
 */
static ReasonCode
WhyNotAny(const Claimant *worker, const TaskqHandler *handler)
{
	if (handler == NULL || (handler->signature == NULL && !handler->paused) ||
		(handler->also_external && !handler->paused) || MayActAs_compat(worker->role, handler->run_as))
		return REASON_NONE;
	return handler->paused ? REASON_HANDLER_PAUSED : REASON_OTHER_ROLE;
}

/*
 * Return why a worker does not run jobs of a route that it asks for, or NULL if it
 * does.  A pause comes before reasons that concern only some workers.
 */
static ReasonCode
WhyNotGiven(const Claimant *worker, const TaskqRoute *route)
{
	const TaskqHandler *handler = HandlerFind(route->task_type);
	ReasonCode			reason;

	if (worker->any_type)
		return QueueById(route->queue_id)->paused ? REASON_QUEUE_PAUSED : WhyNotAny(worker, handler);
	reason = WhyNoWorkerMay(handler, route);
	if (reason != REASON_NONE)
		return reason;
	return worker->background ? WhyNotInside(worker, handler) : WhyNotOutside(handler);
}

/* Return why a worker does not ask for jobs of a route, or REASON_NONE. */
static ReasonCode
WhyNotAsked(const Claimant *worker, const TaskqRoute *route)
{
	if (worker->queues != NULL && !NamesContain(worker->queues, route->queue))
		return REASON_QUEUE_NOT_TAKEN;
	if (worker->task_types != NULL && !NamesContain(worker->task_types, route->task_type))
		return REASON_TYPE_NOT_TAKEN;
	if (worker->narrow != NULL && !NamesContain(worker->narrow, route->task_type))
		return REASON_TYPE_NOT_CALLED;
	return REASON_NONE;
}

/*
 * Is the worker given jobs of the tenant of the route?  Jobs in a route without a tenant may
 * be of any, so a worker that is bound to tenants is given none of them.
 */
static bool
TakesTenant(const Claimant *worker, const TaskqRoute *route)
{
	return (worker->tenants == NULL || NamesContain(worker->tenants, route->tenant_id)) &&
		   (worker->narrow_tenants == NULL || NamesContain(worker->narrow_tenants, route->tenant_id));
}

/* Return why a worker may not run jobs of a route, or REASON_NONE.  Lacking capabilities is the last reason. */
ReasonCode
WhyNotRun(const Claimant *worker, const TaskqRoute *route)
{
	ReasonCode reason = WhyNotAsked(worker, route);

	if (reason == REASON_NONE)
		reason = WhyNotGiven(worker, route);
	if (reason == REASON_NONE && route->not_valid != NULL)
		reason = REASON_INVALID_CAPABILITIES;
	if (reason == REASON_NONE && !TakesTenant(worker, route))
		reason = REASON_TENANT_NOT_TAKEN;
	if (reason == REASON_NONE && !NamesCover(worker->capabilities, route->capabilities))
		reason = REASON_LACKS_CAPABILITIES;
	return reason;
}

bool
MayRun(const Claimant *worker, const TaskqRoute *route)
{
	return WhyNotRun(worker, route) == REASON_NONE;
}

/*
 * Note whether and how waiting jobs of the route that is added improve their priorities.
 * Those that wait in lanes, because of limits for each value of a key, do not.
 */
static void
NoteAge(RouteSet *set, int most, int64 age_every)
{
	if (set->ages == NULL && age_every != 0)
		set->ages = palloc0(sizeof(int64) * most);
	if (set->ages != NULL)
		set->ages[set->n] = age_every;
}

/*
 * Find all routes whose jobs a worker may run.  The result is allocated in the
 * current context.
 */
RouteSet
EligibleRoutes(const Claimant *worker)
{
	RouteSet		   set = { 0 };
	int				   count = 0;
	bool			   any_turns = false;
	const TaskqRoute **routes = AdoptedHere() ? RoutesAll(&count) : NULL;

	set.ids = palloc(sizeof(int32) * (count + 1));
	set.ranks = palloc(sizeof(int) * (count + 1));
	set.turns = palloc(sizeof(RouteTurn) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		const TaskqRoute *route = routes[i];

		if (!MayRun(worker, route))
			continue;
		set.ids[set.n] = route->route_id;
		NoteAge(&set, count, LimitsOfRoute(route->route_id)->keys != 0 ? 0 : QueueById(route->queue_id)->age_every);
		set.ranks[set.n] = worker->queues == NULL || worker->weights != NULL ? 0 : NamesIndex(worker->queues, route->queue);
		set.turns[set.n] = (RouteTurn){ route->queue_id, QueueById(route->queue_id)->fair };
		any_turns = any_turns || set.turns[set.n].fair;
		set.n++;
	}
	if (worker->weights != NULL)
		set.share = worker->share;
	if (!any_turns && worker->weights == NULL)
	{
		pfree(set.turns);
		set.turns = NULL;
	}
	return set;
}
