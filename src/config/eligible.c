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
const char why_handler_paused[] = "handler paused";
const char why_queue_paused[] = "queue paused";

/*
 * Return why a background worker does not run the type of this handler, or NULL if
 * it does.
 */
static const char *
WhyNotInside(const Claimant *worker, const TaskqHandler *handler)
{
	if (handler->signature == NULL)
		return "the type is for external workers";
	if (handler->run_as != worker->role)
		return "the handler runs as another role";
	if (strcmp(handler->status, "ok") != 0)
		return psprintf("handler %s", handler->status);
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
 * Return why a worker does not run jobs of a type that require min_version of its
 * handler, or NULL if it does.
 */
static const char *
WhyNotType(const Claimant *worker, const char *task_type, const char *min_version)
{
	const TaskqHandler *handler;

	if (worker->task_types != NULL && !NamesContain(worker->task_types, task_type))
		return "the worker does not take this type";
	if (worker->narrow != NULL && !NamesContain(worker->narrow, task_type))
		return "the type is not among those of the call";
	handler = HandlerFind(task_type);
	if (worker->any_type)
		return WhyNotAny(worker, handler);
	if (handler == NULL)
		return why_no_handler;
	if (min_version[0] != '\0' && !VersionAtLeast(handler->version, min_version))
		return "handler version is older than min_version";
	return worker->background ? WhyNotInside(worker, handler) : WhyNotOutside(handler);
}

/*
 * Does the claimant ask for jobs of this queue and this type?  It may have to be
 * refused them for other reasons.
 */
bool
ClaimantTakes(const Claimant *worker, const TaskqRoute *route)
{
	return (worker->queues == NULL || NamesContain(worker->queues, route->queue)) &&
		   (worker->task_types == NULL || NamesContain(worker->task_types, route->task_type)) &&
		   (worker->narrow == NULL || NamesContain(worker->narrow, route->task_type));
}

/* Return why a worker may not run jobs of a route, or NULL if it may. */
const char *
WhyNotRun(const Claimant *worker, const TaskqRoute *route)
{
	const char *reason;

	if (worker->queues != NULL && !NamesContain(worker->queues, route->queue))
		return "the worker does not take this queue";
	reason = WhyNotType(worker, route->task_type, route->min_version);
	if (reason != NULL)
		return reason;
	if (QueueById(route->queue_id)->paused)
		return why_queue_paused;
	if (!NamesCover(worker->capabilities, route->capabilities))
		return "the worker lacks capabilities";
	return NULL;
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
	RouteSet set = { 0 };
	int		 count = AdoptedHere() ? RouteCount() : 0;

	set.ids = palloc(sizeof(int32) * (count + 1));
	set.ranks = palloc(sizeof(int) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		const TaskqRoute *route = RouteAt(i);

		if (!MayRun(worker, route))
			continue;
		set.ids[set.n] = route->route_id;
		set.ranks[set.n] = worker->queues == NULL ? 0 : NamesIndex(worker->queues, route->queue);
		set.n++;
	}
	return set;
}
