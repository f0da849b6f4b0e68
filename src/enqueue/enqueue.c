/*
 * enqueue.c
 *	  enqueue_job() and enqueue_jobs().  A job is a row that the caller's transaction
 *	  inserts, so it exists if and only if that transaction commits.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/capability.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/injection_point.h"
#include "base/signature.h"
#include "base/text.h"
#include "config/budget.h"
#include "config/handler.h"
#include "config/limit.h"
#include "config/queue.h"
#include "config/route.h"
#include "config/tenant.h"
#include "enqueue/unhandled.h"
#include "job/current.h"
#include "job/job.h"
#include "job/job_batch.h"
#include "job/lane.h"
#include "job/tenants.h"
#include "job/transition.h"
#include "registry/payload.h"
#include "store/catalog.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_enqueue_job);
PG_FUNCTION_INFO_V1(taskq_enqueue_jobs);

/* Arguments of both functions, in order; the second is payload or payloads. */
enum
{
	ARG_TASK_TYPE,
	ARG_PAYLOAD,
	ARG_QUEUE,
	ARG_PRIORITY,
	ARG_RUN_AT,
	ARG_DELAY,
	ARG_MAX_ATTEMPTS,
	ARG_TIMEOUT,
	ARG_LEASE,
	ARG_TAGS,
	ARG_TENANT_ID,
	ARG_GROUP_KEY,
	ARG_REQUIRED_CAPABILITIES,
	ARG_MIN_VERSION,
	ARG_CORRELATION_ID,
	ARG_WEIGHT,
	ARG_BUDGETS,
	ARG_ESTIMATED_COST,
	ARG_COUNT
};

/* Return when the job is to run: at run_at, after the delay, or now. */
static TimestampTz
RunAt(FunctionCallInfo fcinfo, TimestampTz now)
{
	int64		delay = ArgMicroseconds(fcinfo, ARG_DELAY, "delay", 0);
	TimestampTz run_at;

	if (PG_ARGISNULL(ARG_RUN_AT))
		return delay == NO_MICROSECONDS ? now : now + delay;
	if (delay != NO_MICROSECONDS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run_at and delay cannot both be given"),
				 errhint("Give the moment or the time from now.")));
	run_at = PG_GETARG_TIMESTAMPTZ(ARG_RUN_AT);
	if (TIMESTAMP_IS_NOEND(run_at) || run_at > now + INT64CONST(3660) * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run_at is out of range"),
				 errhint("It can be at most ten years ahead.")));

	/*
	 * A moment in the past means now.  Otherwise the job would overtake jobs that
	 * have been waiting since then.
	 */
	return Max(run_at, now);
}

/*
 * Return the hash by which indexes find a group key.  The key itself is in the job's
 * row, so there is no table of keys, in which one transaction would have to wait for
 * another that inserts the same key.  Two keys with the same hash would share a
 * limit, but not exceed it.
 */
static int64
GroupId(struct varlena *key)
{
	return (int64) hash_bytes_extended((unsigned char *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), 0);
}

/* Read the budgets that the jobs name, in the normalized form.  Returns NULL if there are none. */
static ArrayType *
Budgets(FunctionCallInfo fcinfo)
{
	ArrayType *budgets = ArgNamesOrNull(fcinfo, ARG_BUDGETS, "budgets");

	if (NamesCount(budgets) == 0)
		return NULL;
	budgets = NormalizeNames(budgets, "budgets");
	(void) CheckArrayLength(budgets, "budgets", MAX_BUDGETS_OF_JOB);
	BudgetsCheck(budgets);
	return budgets;
}

static CostUnits
EstimatedCost(FunctionCallInfo fcinfo, const ArrayType *budgets)
{
	if (PG_ARGISNULL(ARG_ESTIMATED_COST))
		return 0;
	if (budgets == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("estimated_cost is given without budgets"),
				 errhint("Name the budgets that the job uses, by budgets => '{gpu-hours}', for example.")));
	return ArgCost(fcinfo, ARG_ESTIMATED_COST, "estimated_cost", false);
}

/* Return the job's tenant if a worker is bound to it.  Then the job has a route of the tenant. */
static const char *
BoundTenantOf(const TaskqJob *job)
{
	char *tenant_id;

	if (job->tenant_id == NULL || !TenantsAnyBound())
		return "";
	tenant_id = text_to_cstring(job->tenant_id);
	return TenantIsBound(tenant_id) ? tenant_id : "";
}

/*
 * Fill in the job from the arguments, except its id and payload.  The route is made
 * only if there are any jobs, because a queue with a route cannot be dropped.
 */
static void
ReadArguments(FunctionCallInfo fcinfo, TaskqJob *job, TimestampTz now, bool any_jobs)
{
	char			   *task_type = ArgName(fcinfo, ARG_TASK_TYPE, "task type");
	char			   *queue_name = ArgNameOrNull(fcinfo, ARG_QUEUE, "queue");
	char			   *min_version = ArgNameOrNull(fcinfo, ARG_MIN_VERSION, "min_version");
	const TaskqHandler *handler = HandlerFind(task_type);
	ArrayType		   *capabilities = ArgCapabilities(fcinfo, ARG_REQUIRED_CAPABILITIES, "required_capabilities");
	const TaskqQueue   *queue;
	RouteWish			wish;

	memset(job, 0, sizeof(*job));
	job->created_at = now;
	job->created_by = GetUserId();
	job->run_at = RunAt(fcinfo, now);
	if (!PG_ARGISNULL(ARG_PRIORITY))
		job->priority = ArgInt(fcinfo, ARG_PRIORITY, "priority", PG_INT16_MIN, PG_INT16_MAX);
	else if (handler != NULL)
		job->priority = handler->priority;
	job->max_attempts = TASKQ_DEFAULT_MAX_ATTEMPTS;
	if (!PG_ARGISNULL(ARG_MAX_ATTEMPTS))
		job->max_attempts = ArgInt(fcinfo, ARG_MAX_ATTEMPTS, "max_attempts", 1, TASKQ_MAX_MAX_ATTEMPTS);
	else if (handler != NULL && handler->max_attempts > 0)
		job->max_attempts = handler->max_attempts;
	if (queue_name == NULL)
		queue_name = handler != NULL && handler->queue != NULL ? pstrdup(handler->queue) : TASKQ_DEFAULT_QUEUE;
	if (ArgMicroseconds(fcinfo, ARG_TIMEOUT, "timeout", 1000) != NO_MICROSECONDS)
		job->timeout = PG_GETARG_INTERVAL_P(ARG_TIMEOUT);
	if (ArgMicroseconds(fcinfo, ARG_LEASE, "lease", USECS_PER_SEC) != NO_MICROSECONDS)
		job->lease = PG_GETARG_INTERVAL_P(ARG_LEASE);
	job->tags = (struct varlena *) ArgTagsOrNull(fcinfo, ARG_TAGS, "tags");
	job->tenant_id = TenantToEnqueue(TextOrNull(ArgNameOrNull(fcinfo, ARG_TENANT_ID, "tenant_id")));
	job->group_key = TextOrNull(ArgNameOrNull(fcinfo, ARG_GROUP_KEY, "group_key"));
	if (job->group_key != NULL)
		job->group_id = GroupId(job->group_key);
	job->correlation_id = PG_ARGISNULL(ARG_CORRELATION_ID) ? CurrentCorrelation() : TextOrNull(ArgLabel(fcinfo, ARG_CORRELATION_ID, "correlation_id"));
	if (!PG_ARGISNULL(ARG_WEIGHT))
		job->weight = ArgInt(fcinfo, ARG_WEIGHT, "weight", 1, MAX_WEIGHT);
	queue = QueueByName(queue_name, false);
	RejectIfUnhandled(queue, task_type);
	wish.queue_id = queue->queue_id;
	wish.task_type = task_type;
	wish.capabilities = capabilities != NULL ? capabilities : NormalizeNames(NULL, NULL);
	wish.min_version = min_version == NULL ? "" : min_version;
	wish.budgets = PG_ARGISNULL(ARG_BUDGETS) ? NULL : Budgets(fcinfo);
	wish.estimated_cost = EstimatedCost(fcinfo, wish.budgets);
	wish.tenant_id = BoundTenantOf(job);
	if (any_jobs)
		job->route_id = RouteFindOrMake(&wish);
}

/*
 * Refuse a job that could never start, as it weighs more than what a limit lets start at
 * once.  A limit may be set later; then the job waits, and is explained.
 */
static void
CheckWeight(const TaskqJob *job)
{
	const RouteLimits *limits;
	JobKeys			   keys = { 0 };

	if (JobWeight(job) == 1 || job->route_id == 0)
		return;
	limits = LimitsOfRoute(job->route_id);
	(void) KeysOfJob(job, &keys);
	for (int i = 0; i < limits->n; i++)
		if (job->weight > LimitHeaviest(limits->limits[i], &keys))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a job that weighs %d could never start", job->weight),
					 errdetail("Limit \"%s\" lets jobs of a weight of at most %d start at once.",
							   limits->limits[i]->name, LimitHeaviest(limits->limits[i], &keys)),
					 errhint("Give a smaller weight, or a greater burst or quota by taskq.alter_limit().")));
}

/* Check the payloads by the contract of the type's handler, unless the queue has validate_payloads => false. */
static void
CheckPayloads(const TaskqJob *job, const Datum *payloads, int n)
{
	const TaskqRoute *route;

	if (n == 0)
		return; /* the job has no route then */
	route = RouteById(job->route_id);
	if (QueueById(route->queue_id)->validate_payloads)
		PayloadsCheck(route->task_type, payloads, n);
}

/*
 * Open the table of jobs.  The arguments were read under the given extension.  If it was
 * dropped and created again since, its numbers of routes mean others now, so the job
 * would have another task type.
 */
static void
OpenJobs(Store *jobs, Oid extension)
{
	StoreOpenRel(jobs, REL_JOBS);
	if (CatalogExtension() != extension)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension taskq was dropped and created again during the call"),
				 errhint("Call the function again.")));
}

/*
 * Insert the jobs, which differ in their payloads, and set their ids.  The caller is the
 * extension's owner and has opened the table of jobs.
 */
static void
Enqueue(Store *jobs, TaskqJob *job, const Datum *payloads, int n, int64 *ids)
{
	AssertOwner();
	Assert(StoreIs(jobs, REL_JOBS));
	Assert(job->route_id != 0 && job->max_attempts > 0);
	for (int i = 0; i < n; i++)
		CheckJsonSize((struct varlena *) DatumGetPointer(payloads[i]), "payload");
	JobDrawIds(ids, n);
	job->state = JOB_NEW;
	if (DiscardIfUnhandled(jobs, job, ids, payloads, n))
		return;
	if (n > 1)
	{
		JobCreateMany(jobs, job, ids, payloads, n);
		return;
	}
	job->job_id = ids[0];
	job->payload = (struct varlena *) DatumGetPointer(payloads[0]);
	JobCreate(jobs, job);
}

Datum
taskq_enqueue_job(PG_FUNCTION_ARGS)
{
	TaskqJob   job;
	Store	   jobs;
	OwnerScope scope;
	Oid		   extension;
	int64	   job_id;
	Datum	   payload;

	CheckCall(fcinfo);
	CheckWritable("taskq.enqueue_job()");
	if (PG_ARGISNULL(ARG_PAYLOAD))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("payload must not be NULL"),
				 errhint("Leave it out to enqueue an empty object.")));
	extension = CatalogExtension();
	ReadArguments(fcinfo, &job, ClockNow(), true);
	payload = PointerGetDatum(PG_GETARG_JSONB_P(ARG_PAYLOAD));
	CheckWeight(&job);
	CheckPayloads(&job, &payload, 1);
	TASKQ_INJECTION_POINT("enqueue-read");

	OwnerEnter(&scope);
	OpenJobs(&jobs, extension);
	Enqueue(&jobs, &job, &payload, 1, &job_id);
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	PG_RETURN_INT64(job_id);
}

/* Read the array of payloads.  Neither the array nor an element may be NULL. */
static Datum *
ReadPayloads(FunctionCallInfo fcinfo, int *n)
{
	ArrayType *array;
	Datum	  *payloads;
	bool	  *nulls;

	if (PG_ARGISNULL(ARG_PAYLOAD))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("payloads must not be NULL")));
	array = PG_GETARG_ARRAYTYPE_P(ARG_PAYLOAD);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("payloads must be an array of one dimension")));
	deconstruct_array(array, JSONBOID, -1, false, TYPALIGN_INT, &payloads, &nulls, n);
	for (int i = 0; i < *n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("payload %d must not be NULL", i + 1)));
	}
	return payloads;
}

Datum
taskq_enqueue_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TaskqJob	   job;
	Store		   jobs;
	OwnerScope	   scope;
	Oid			   extension;
	Datum		  *payloads;
	JobBatch	   batch = { 0 };
	int64		  *ids;
	int			   n;

	CheckCall(fcinfo);
	CheckWritable("taskq.enqueue_jobs()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	payloads = ReadPayloads(fcinfo, &n);
	extension = CatalogExtension();
	ReadArguments(fcinfo, &job, ClockNow(), n > 0);
	CheckWeight(&job);
	CheckPayloads(&job, payloads, n);

	OwnerEnter(&scope);
	OpenJobs(&jobs, extension);
	jobs.batch = &batch;
	ids = palloc(sizeof(int64) * (n + 1));
	if (n > 0)
		Enqueue(&jobs, &job, payloads, n, ids);
	JobBatchWrite(&jobs);
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	for (int i = 0; i < n; i++)
	{
		Datum id = Int64GetDatum(ids[i]);
		bool  null = false;

		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, &id, &null);
	}
	return (Datum) 0;
}
