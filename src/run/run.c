/*
 * run.c
 *	  run_job(), run_next() and run_all(): run jobs by hand, in the caller's session
 *	  and transaction.
 *
 * The registered handler is used only if the session user is the handler's role, so
 * that its code can get no more rights than in a worker.  Otherwise the caller names
 * a handler, whose code runs with the caller's rights, as any function does that the
 * caller calls.  These functions need no pool, and run_all() is deterministic; they
 * are meant for tests of handlers.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/rows.h"
#include "base/signature.h"
#include "claim/claim.h"
#include "claim/why_not.h"
#include "config/handler.h"
#include "config/route.h"
#include "config/stale.h"
#include "job/current.h"
#include "job/frames.h"
#include "job/history.h"
#include "job/job.h"
#include "job/live.h"
#include "job/transition.h"
#include "job/whose.h"
#include "registry/register_handler.h"
#include "run/call.h"
#include "run/outcome.h"
#include "run/prepare.h"
#include "store/catalog.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_run_job);
PG_FUNCTION_INFO_V1(taskq_run_next);
PG_FUNCTION_INFO_V1(taskq_run_all);

/* Number of result columns of each of the three functions. */
static const Oid run_columns[] = { INT8OID, TEXTOID, TEXTOID, JSONBOID, TEXTOID };

#define RUN_COLUMNS lengthof(run_columns)

/* A call of one of the three functions. */
typedef struct RunCall
{
	Claimant	 worker;
	RouteSet	 routes;
	ClaimRequest request;
	GivenHandler given;
	bool		 is_given;
} RunCall;

/*
 * Refuse a caller who acts as another role, by SET ROLE or in a SECURITY DEFINER
 * function: the handler's code could go on using that role's rights.
 */
static void
CheckSessionUser(void)
{
	if (GetUserId() != GetSessionUserId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("jobs can be run by hand only as the session user"),
				 errdetail("The session user is \"%s\", the current user \"%s\".",
						   GetUserNameFromId(GetSessionUserId(), true), GetUserNameFromId(GetUserId(), true)),
				 errhint("Connect as the handler's role, or, as a superuser, run SET SESSION AUTHORIZATION %s.",
						 quote_identifier(GetUserNameFromId(GetUserId(), true)))));
}

static void
PrepareCall(FunctionCallInfo fcinfo, RunCall *call, int types_arg, int handler_arg)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("jobs cannot be claimed in a transaction of this isolation level"),
				 errhint("Use READ COMMITTED.")));
	CheckSessionUser();
	memset(call, 0, sizeof(*call));
	call->worker.background = true;
	call->worker.by_hand = true;
	call->worker.role = GetSessionUserId();
	if (types_arg >= 0)
		call->worker.narrow = ArgSomeNamesOrNull(fcinfo, types_arg, "task_types");
	if (!PG_ARGISNULL(handler_arg))
	{
		call->is_given = true;
		call->given.function = PG_GETARG_OID(handler_arg);
		call->given.form = HandlerCheckFunction(call->given.function, GetUserId());
		if (call->given.form.stepwise)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
					 errmsg("procedure %s cannot run inside a statement", format_procedure(call->given.function)),
					 errdetail("It may commit, and a statement is part of one transaction."),
					 errhint("Have a pool run it, or CALL it yourself.")));
		call->worker.any_type = true;
	}
	call->request.worker = &call->worker;
	call->request.routes = &call->routes;
	call->request.worker_id = psprintf("session:%d", MyProcPid);
	call->request.lease = call->request.worker_lease = NO_MICROSECONDS;
	call->request.config_version = ConfigVersion();
}

/* How a run by hand ended. */
typedef struct RunReport
{
	int64			job_id;
	char			task_type[TASKQ_NAME_MAX + 1];
	const char	   *state;
	struct varlena *result;
	const char	   *error;
} RunReport;

/*
 * Claim a job, run it and settle it in the caller's transaction.  The job is the one
 * named by job_id or, if that is 0, the next one of the request.  Returns false if
 * there is none.  An interrupt of the caller's statement is passed on as an error of
 * the statement, and the job stays as it was.
 */
static bool
DispatchHere(const ClaimRequest *request, int64 job_id, const GivenHandler *given, RunReport *report)
{
	Run *run = palloc0(sizeof(Run));
	int	 depth;

	if (!(job_id != 0 ? ClaimByIdToRun(request, job_id, &run->jobs, &run->job) : ClaimToRun(request, NULL, &run->jobs, &run->job)))
		return false;
	depth = CurrentPush(&run->job);
	run->outer_frames = FrameInHand(); /* restored below, even if the run does not begin */
	PG_TRY();
	{
		bool can_run = PrepareRun(run, given);

		run->is_here = true;

		if (can_run)
			RunHandler(run);
		CurrentReset(depth);
		if (run->error != NULL && run->interrupted && !run->timed_out)
		{
			RunPassInterrupt();
			ReThrowError(run->error);
		}
		if (can_run)
			SettleRun(run, false);
		else
			GiveBackRun(run);
	}
	PG_FINALLY();
	{
		CurrentReset(depth);
		FrameEnd(run->outer_frames);
	}
	PG_END_TRY();
	report->job_id = run->job.job_id;
	strlcpy(report->task_type, run->task_type, sizeof(report->task_type));
	report->state = JobStateName(&run->job);
	report->result = NULL;
	report->error = NULL;
	if (run->error == NULL && !run->result_is_null && run->job.state == JOB_COMPLETED)
		report->result = (struct varlena *) DatumGetPointer(run->result);
	if (run->error != NULL && run->job.last_error != NULL)
		report->error = text_to_cstring((text *) run->job.last_error);
	else if (run->error != NULL)
		report->error = run->error->message;
	return true;
}

/* Run one job and add its row to the result.  Returns false if there is no job. */
static bool
RunOne(FunctionCallInfo fcinfo, RunCall *call, int64 job_id)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RunReport	   report = { 0 };
	Datum		   values[RUN_COLUMNS];
	bool		   nulls[RUN_COLUMNS] = { false };

	call->request.config_version = ConfigVersion();
	call->routes = EligibleRoutes(&call->worker);
	if (!DispatchHere(&call->request, job_id, call->is_given ? &call->given : NULL, &report))
		return false;
	values[0] = Int64GetDatum(report.job_id);
	values[1] = CStringGetTextDatum(report.task_type);
	values[2] = CStringGetTextDatum(report.state);
	values[3] = PointerGetDatum(report.result);
	nulls[3] = report.result == NULL;
	values[4] = report.error == NULL ? (Datum) 0 : CStringGetTextDatum(report.error);
	nulls[4] = report.error == NULL;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return true;
}

/* Return the hint that says how this session could run jobs of a type in a queue. */
static const char *
WhatToDo(const RunCall *call, ReasonCode why_not, const char *task_type, const char *queue)
{
	if (why_not == REASON_QUEUE_PAUSED)
		return psprintf("When its jobs may start, call taskq.resume_queue('%s').", queue);
	if (why_not == REASON_HANDLER_PAUSED)
		return psprintf("When the cause of the pause is gone, call taskq.resume_handler('%s').", task_type);
	if (why_not == REASON_PROCEDURE)
		return "Have a pool run it, or CALL it yourself.";
	if (call->is_given)
		return "Connect as the handler's role.";
	return "Name a handler in the call, or connect as the handler's role.";
}

/* Return whether the caller may get jobs of this type, as an external worker or as the handler's role. */
static bool
IsForCaller(const char *task_type)
{
	const TaskqHandler *handler = HandlerFind(task_type);

	return handler == NULL || handler->signature == NULL || handler->also_external ||
		   MayActAs_compat(GetUserId(), handler->run_as);
}

/* Raise the error for a live job that the session may not run, for this reason. */
TASKQ_NORETURN static void
RefuseRoute(const RunCall *call, const Reason *reason, const char *task_type, const char *queue)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_NOT_REGISTERED),
			 errmsg("this session cannot run jobs of task type \"%s\"", task_type),
			 errdetail("For role \"%s\": %s.", GetUserNameFromId(GetSessionUserId(), true), reason->text),
			 errhint("%s", WhatToDo(call, reason->code, task_type, queue))));
}

/* Raise the error for a live job that a rule of admission has refused. */
TASKQ_NORETURN static void
RefuseByRule(int64 job_id, const Refusal *refusal)
{
	ereport(ERROR,
			(errcode(refusal->sqlstate),
			 errmsg("job " INT64_FORMAT " %s", job_id, refusal->problem),
			 refusal->detail != NULL ? errdetail("%s", refusal->detail) : 0,
			 refusal->hint != NULL ? errhint("%s", refusal->hint) : 0));
}

/*
 * Raise the error that says why run_job() could not run this job.  If nothing else
 * prevents that, another transaction has locked the job's row.
 */
static void
RefuseJob(RunCall *call, int64 job_id)
{
	Asked		asked = { .claimant = call->worker };
	TaskqJob	job;
	TaskqEnding ending;
	bool		live = LiveFind(job_id, &job);
	char	   *task_type;
	char	   *queue;
	Reason		reason = { 0 };

	if (!live && !HistoryFind(job_id, &job, &ending))
		WhoseNotSeen(job_id);
	task_type = pstrdup(RouteById(job.route_id)->task_type);
	queue = pstrdup(RouteById(job.route_id)->queue);
	if (!IsForCaller(task_type) && !WhoseMaySee(job_id))
		WhoseNotSeen(job_id);
	if (live)
		(void) WhyNot(&asked, NULL, RouteById(job.route_id), &job, &reason);
	if (reason.refusal.reason_code != REASON_NONE)
		RefuseByRule(job_id, &reason.refusal);
	if (reason.code != REASON_NONE)
		RefuseRoute(call, &reason, task_type, queue);
	if (live)
		RefuseHeld(&job, "run");
	RefuseTransition(&job, "run", NULL);
}

Datum
taskq_run_job(PG_FUNCTION_ARGS)
{
	RunCall call;
	int64	job_id;

	CheckCall(fcinfo);
	CheckWritable("taskq.run_job()");
	BeginRows(fcinfo, RUN_COLUMNS, run_columns);
	job_id = ArgId(fcinfo, 0, "job_id");
	PrepareCall(fcinfo, &call, -1, 1);
	if (job_id == 0 || !RunOne(fcinfo, &call, job_id))
		RefuseJob(&call, job_id);
	return (Datum) 0;
}

/* Require task types beside a handler that is named in the call. */
static void
RequireTypesOfGiven(const RunCall *call)
{
	if (call->is_given && call->worker.narrow == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a handler was given without the task types that it is for"),
				 errhint("Name them in task_types.")));
}

Datum
taskq_run_next(PG_FUNCTION_ARGS)
{
	RunCall call;

	CheckCall(fcinfo);
	CheckWritable("taskq.run_next()");
	BeginRows(fcinfo, RUN_COLUMNS, run_columns);
	PrepareCall(fcinfo, &call, 0, 1);
	RequireTypesOfGiven(&call);
	(void) RunOne(fcinfo, &call, 0);
	return (Datum) 0;
}

/* SQL-callable run_all(): run jobs until none is due, including those that the handlers enqueue. */
Datum
taskq_run_all(PG_FUNCTION_ARGS)
{
	RunCall		  call;
	int			  most;
	MemoryContext context;
	MemoryContext old;

	CheckCall(fcinfo);
	CheckWritable("taskq.run_all()");
	BeginRows(fcinfo, RUN_COLUMNS, run_columns);
	PrepareCall(fcinfo, &call, 0, 2);
	RequireTypesOfGiven(&call);
	most = PG_ARGISNULL(1) ? PG_INT32_MAX : ArgInt(fcinfo, 1, "max_jobs", 1, PG_INT32_MAX);
	context = AllocSetContextCreate(CurrentMemoryContext, "taskq run_all", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int i = 0; i < most && RunOne(fcinfo, &call, 0); i++)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}
