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
#include "config/queue.h"

const char why_no_handler[] = "no handler registered";
const char why_handler_paused[] = "handler paused, see taskq.resume_handler()";
const char why_queue_paused[] = "queue paused";

/* Return why the handler cannot run in the server now, or NULL if it can. */
const char *
WhyHandlerCannotRun(const TaskqHandler *handler)
{
	return strcmp(handler->status, "ok") == 0 ? NULL : psprintf("handler %s", handler->status);
}

/*
 * Return why no worker at all is given jobs of a route, or NULL.  While a type is on
 * trial (pause.c), background workers are given its jobs.  The handler is that of the
 * route's type, or NULL.
 */
const char *
WhyNoWorkerMay(const TaskqHandler *handler, const TaskqRoute *route)
{
	if (handler == NULL)
		return why_no_handler;
	if (route->min_version[0] != '\0' && !VersionAtLeast(handler->version, route->min_version))
		return "handler version is older than min_version";
	if (QueueById(route->queue_id)->paused)
		return why_queue_paused;
	if (handler->paused && !handler->on_trial)
		return why_handler_paused;
	return NULL;
}

/*
 * Return why a background worker does not run the type of this handler, or NULL if
 * it does.
 */
static const char *
WhyNotInside(const Claimant *worker, const TaskqHandler *handler)
{
	const char *reason;

	if (handler->signature == NULL)
		return "the type is for external workers";
	if (handler->run_as != worker->role)
		return "the handler runs as another role";
	reason = WhyHandlerCannotRun(handler);
	if (reason != NULL)
		return reason;
	if (worker->by_hand && handler->paused)
		return why_handler_paused;
	if (worker->by_hand && handler->form.stepwise)
		return "a procedure cannot be run inside a statement";
	return NULL;
}

/*
 * Return why an external worker does not run the type of this handler, or NULL if
 * it does.
 */
static const char *
WhyNotOutside(const TaskqHandler *handler)
{
	if (handler->signature != NULL && !handler->also_external)
		return "the type is handled in the server, and not also_external";
	if (handler->paused)
		return why_handler_paused;
	return NULL;
}

/*
 * Return why a worker that brings its own handler does not run a type, or NULL if
 * it does.  A worker that may change the registered handler may also run jobs in
 * place of it.
 */
static const char *
WhyNotAny(const Claimant *worker, const TaskqHandler *handler)
{
	if (handler == NULL || (handler->signature == NULL && !handler->paused) ||
		(handler->also_external && !handler->paused) || MayActAs_compat(worker->role, handler->run_as))
		return NULL;
	return handler->paused ? why_handler_paused : "the handler runs as another role";
}

/*
 * Return why a worker does not run jobs of a route that it asks for, or NULL if it
 * does.  A pause comes before reasons that concern only some workers.
 */
static const char *
WhyNotGiven(const Claimant *worker, const TaskqRoute *route)
{
	const TaskqHandler *handler = HandlerFind(route->task_type);
	const char		   *reason;

	if (worker->any_type)
		return QueueById(route->queue_id)->paused ? why_queue_paused : WhyNotAny(worker, handler);
	reason = WhyNoWorkerMay(handler, route);
	if (reason != NULL)
		return reason;
	return worker->background ? WhyNotInside(worker, handler) : WhyNotOutside(handler);
}

/* Return why a worker does not ask for jobs of a route, or NULL if it does. */
static const char *
WhyNotAsked(const Claimant *worker, const TaskqRoute *route)
{
	if (worker->queues != NULL && !NamesContain(worker->queues, route->queue))
		return "the worker does not take this queue";
	if (worker->task_types != NULL && !NamesContain(worker->task_types, route->task_type))
		return "the worker does not take this type";
	if (worker->narrow != NULL && !NamesContain(worker->narrow, route->task_type))
		return "the type is not among those of the call";
	return NULL;
}

/*
 * Does the claimant ask for jobs of this queue and this type?  It may have to be
 * refused them for other reasons.
 */
bool
ClaimantTakes(const Claimant *worker, const TaskqRoute *route)
{
	return WhyNotAsked(worker, route) == NULL;
}

/* Return why a worker may not run jobs of a route, or NULL if it may. */
const char *
WhyNotRun(const Claimant *worker, const TaskqRoute *route)
{
	const char *reason = WhyNotAsked(worker, route);

	if (reason == NULL)
		reason = WhyNotGiven(worker, route);
	if (reason == NULL && !NamesCover(worker->capabilities, route->capabilities))
		reason = "the worker lacks capabilities";
	return reason;
}

bool
MayRun(const Claimant *worker, const TaskqRoute *route)
{
	return WhyNotRun(worker, route) == NULL;
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
	const TaskqRoute **routes = AdoptedHere() ? RoutesAll(&count) : NULL;

	set.ids = palloc(sizeof(int32) * (count + 1));
	set.ranks = palloc(sizeof(int) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		const TaskqRoute *route = routes[i];

		if (!MayRun(worker, route))
			continue;
		set.ids[set.n] = route->route_id;
		set.ranks[set.n] = worker->queues == NULL ? 0 : NamesIndex(worker->queues, route->queue);
		set.n++;
	}
	return set;
}
