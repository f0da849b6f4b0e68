/*
 * admit_trial.c
 *	  Rule: of a task type on trial (pause.c), only one job at a time may run.
 *
 * The one place is a lock, which is released at the end of the transaction or
 * subtransaction that took it.  So nothing needs to be done when an admission ends.
 */
#include "taskq.h"

#include "config/handler.h"
#include "config/pause.h"
#include "config/route.h"
#include "job/admit_rules.h"

static bool
AdmitJobsOf(int32 route_id)
{
	const TaskqHandler *handler = HandlerFind(RouteById(route_id)->task_type);

	return handler == NULL || !handler->on_trial || TrialTake(handler->task_type);
}

static const char *
Explain(const AdmissionQuestion *question)
{
	const TaskqHandler *handler = question->route != NULL ? HandlerFind(question->route->task_type) : NULL;

	if (handler != NULL && handler->on_trial && TrialIsTaken(handler->task_type))
		return "the type is on trial, and another job of it runs";
	return NULL;
}

const AdmissionRule admit_trial = {
	.name = "trial",
	.admit_route = AdmitJobsOf,
	.explain = Explain,
};
