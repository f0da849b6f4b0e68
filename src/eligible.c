/*
 * eligible.c
 *	  May this worker run jobs of this route?  The one place that decides it.
 *
 * The answer is computed per route, not per job: a claim then looks only at
 * the index ranges of the worker's routes, and a foreign job costs nothing.
 */
#include "taskq.h"

#include "adopt.h"
#include "args.h"
#include "compat.h"
#include "eligible.h"
#include "handler.h"
#include "queue.h"
#include "version.h"

/* Is there a handler, new enough, that this kind of worker runs? */
static bool
RunsType(const TaskqWorker *worker, const char *task_type, const char *min_version)
{
	const TaskqHandler *handler;

	if (worker->task_types != NULL && !NamesContain(worker->task_types, task_type))
		return false;
	if (worker->narrow != NULL && !NamesContain(worker->narrow, task_type))
		return false;
	handler = HandlerFind(task_type);
	if (worker->any_type)
		/* whoever may change the registered handler may stand in for it */
		return handler == NULL || (handler->signature == NULL && !handler->paused) ||
			(handler->also_external && !handler->paused) || MayActAs_compat(worker->role, handler->run_as);
	if (handler == NULL)
		return false;
	if (min_version[0] != '\0' && !VersionAtLeast(handler->version, min_version))
		return false;
	if (worker->background)
		return handler->signature != NULL && handler->run_as == worker->role &&
			strcmp(handler->status, "ok") == 0 && !(worker->by_hand && handler->form.stepwise);
	return !handler->paused && (handler->signature == NULL || handler->also_external);
}

bool
MayRun(const TaskqWorker *worker, const TaskqRoute *route)
{
	if (worker->queues != NULL && !NamesContain(worker->queues, route->queue))
		return false;
	return RunsType(worker, route->task_type, route->min_version) &&
		!QueueById(route->queue_id)->paused &&
		NamesCover(worker->capabilities, route->capabilities);
}

/* All routes of a worker.  The result is allocated in the current context. */
RouteSet
EligibleRoutes(const TaskqWorker *worker)
{
	RouteSet	set = {0};
	int			count = AdoptedHere() ? RouteCount() : 0;

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
