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
AdmitJobsOf(int32 route_id, TupleTableSlot *row)
{
	const TaskqHandler *handler = HandlerFind(RouteById(route_id)->task_type);

	return handler == NULL || !handler->on_trial || TrialTake(handler->task_type);
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	const TaskqHandler *handler = question->route != NULL ? HandlerFind(question->route->task_type) : NULL;

	if (handler == NULL || !handler->on_trial || !TrialIsTaken(handler->task_type))
		return false;
	refusal->reason_code = REASON_TRIAL;
	refusal->sqlstate = ERRCODE_LOCK_NOT_AVAILABLE;
	refusal->problem = psprintf("cannot be run while another job of task type \"%s\" is on trial", handler->task_type);
	refusal->detail = "The type was paused because its jobs failed, and single jobs are tried.";
	refusal->hint = psprintf("Try again when that has ended, or call taskq.resume_handler('%s').", handler->task_type);
	return true;
}

const AdmissionRule admit_trial = {
	.name = "trial",
	.admit_route = AdmitJobsOf,
	.explain = Explain,
};
