/*
 * complete.c
 *	  complete_job() and complete_jobs(), for the holders of claims.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/error.h"
#include "base/rows.h"
#include "base/signature.h"
#include "job/job_batch.h"
#include "settle/decide.h"
#include "settle/result.h"
#include "settle/settle.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_complete_job);
PG_FUNCTION_INFO_V1(taskq_complete_jobs);

/* Refuse a value that says that the job is not completed. */
TASKQ_NORETURN static void
RefuseValue(const char *built_by, const char *use)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a value of %s is no result of a completed job", built_by),
			 errhint("Call %s instead.", use)));
}

/*
 * Evaluate the result as that of a handler: take the value from success(), and enqueue
 * the steps of decision().  Any other value is returned as it is.
 */
static struct varlena *
Evaluate(struct varlena *result, const TaskqJob *job)
{
	Jsonb *jsonb = (Jsonb *) result;

	if (result == NULL || !ResultIsMeant(jsonb))
		return result;
	if (ResultHasTag(jsonb, "failure"))
		RefuseValue("taskq.failure()", "taskq.fail_job()");
	if (ResultHasTag(jsonb, "snooze"))
		RefuseValue("taskq.snooze()", "taskq.snooze_job()");
	if (ResultHasTag(jsonb, "success"))
		return ResultOfSuccess(jsonb);
	return Decide(jsonb, job);
}

/* Is the result a value of decision()? */
static bool
IsDecision(struct varlena *result)
{
	Jsonb *jsonb = (Jsonb *) result;

	return result != NULL && ResultIsMeant(jsonb) && ResultHasTag(jsonb, "decision");
}

/*
 * The row is deleted without a lock before that.  But code of users may see whether it
 * still exists, and the steps of a decision may be checked by such code.
 */
static ClaimGrip
GripFor(struct varlena *result)
{
	return IsDecision(result) ? GRIP_LOCK : GRIP_DELETE;
}

/*
 * Complete a job whose row is locked or deleted.  The caller is the extension's owner; while the
 * steps of a decision are enqueued, the process acts as the SQL caller instead.
 */
static void
CompleteHeld(Store *jobs, TaskqJob *job, struct varlena *result, OwnerScope *scope)
{
	char *refusal;
	char *detail;

	AssertOwner();
	Assert(StoreIsLocked(jobs) && JobIdOfRow(jobs->found) == job->job_id);

	/* the steps may be checked by code of users, which may read the history and the events */
	if (IsDecision(result))
		JobBatchWrite(jobs);
	OwnerLeave(scope);
	result = Evaluate(result, job);
	refusal = result == NULL ? NULL : ResultTooLarge(result, &detail);
	if (refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
				 errmsg("%s", refusal),
				 errdetail("%s", detail),
				 errhint("%s", RESULT_HINT)));
	OwnerEnter(scope);
	SettleCompleted(jobs, job, result);
}

Datum
taskq_complete_job(PG_FUNCTION_ARGS)
{
	OwnerScope		scope;
	Store			jobs;
	TaskqJob		job;
	int64			job_id;
	int64			epoch;
	struct varlena *result = NULL;
	bool			held;

	CheckCall(fcinfo);
	CheckWritable("taskq.complete_job()");
	job_id = ArgId(fcinfo, 0, "job_id");
	epoch = ArgId(fcinfo, 1, "epoch");
	if (!PG_ARGISNULL(2))
		result = (struct varlena *) PG_GETARG_JSONB_P(2);
	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	held = LockClaim(&jobs, &job, job_id, epoch, OUTCOME_COMPLETED, scope.caller, GripFor(result));
	if (held)
		CompleteHeld(&jobs, &job, result, &scope);
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	PG_RETURN_BOOL(held);
}

/* several ------------------------------------------------------------------ */

/* One of the claims of complete_jobs(). */
typedef struct Completion
{
	int64			job_id;
	int64			epoch;
	int				position; /* in the arrays */
	struct varlena *result;	  /* NULL: none */
	const char	   *status;
} Completion;

/* Read the array of results, which has one for each job.  If the argument is NULL, no job has a result. */
static void
ReadResults(FunctionCallInfo fcinfo, Completion *completions, int n)
{
	ArrayType *array;
	Datum	  *values;
	bool	  *nulls;
	int		   count;

	if (PG_ARGISNULL(2))
		return;
	array = PG_GETARG_ARRAYTYPE_P(2);
	CheckSameLength("job_ids", n, "results", CheckArrayLength(array, "results", TASKQ_MAX_IDS));
	deconstruct_array(array, JSONBOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	Assert(count == n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			completions[i].result = (struct varlena *) DatumGetJsonbP(values[i]);
}

static Completion *
ReadCompletions(FunctionCallInfo fcinfo, int *n)
{
	int64	   *job_ids = ArgIds(fcinfo, 0, "job_ids", n);
	int			n_epochs;
	int64	   *epochs = ArgIds(fcinfo, 1, "epochs", &n_epochs);
	Completion *completions = palloc0(sizeof(Completion) * (*n + 1));

	CheckSameLength("job_ids", *n, "epochs", n_epochs);
	for (int i = 0; i < *n; i++)
	{
		completions[i].job_id = job_ids[i];
		completions[i].epoch = epochs[i];
		completions[i].position = i;
	}
	ReadResults(fcinfo, completions, *n);
	return completions;
}

/* Order by job and then by position, so that the first claim of a job that is named twice is completed. */
static int
CompareByJob(const void *a, const void *b)
{
	const Completion *left = a;
	const Completion *right = b;

	if (left->job_id != right->job_id)
		return left->job_id < right->job_id ? -1 : 1;
	return left->position - right->position;
}

static int
CompareByPosition(const void *a, const void *b)
{
	return ((const Completion *) a)->position - ((const Completion *) b)->position;
}

/* Complete one job.  Returns its status for the result of complete_jobs(). */
static const char *
CompleteOne(Store *jobs, const Completion *completion, OwnerScope *scope)
{
	TaskqJob job;

	switch (FindClaim(jobs, &job, completion->job_id, completion->epoch, OUTCOME_COMPLETED, scope->caller, GripFor(completion->result)))
	{
		case CLAIM_HELD:
			CompleteHeld(jobs, &job, completion->result, scope);
			CommandCounterIncrement();
			return "completed";
		case CLAIM_SETTLED:
			return "repeated";
		case CLAIM_STALE:
		case CLAIM_FOREIGN:
			return "stale";
		case CLAIM_NOT_FOUND:
			return "not_found";
		case CLAIM_BUSY:
			break;
	}
	elog(ERROR, "a settle that waits found its claim busy");
}

/* The error context callback that names the job. */
static void
NameJob(void *arg)
{
	errcontext("completing job " INT64_FORMAT, ((const Completion *) arg)->job_id);
}

/*
 * Complete the jobs in the order of their ids, so that two calls with the same jobs
 * cannot deadlock.  Afterwards the array is in the order of the arguments again.
 */
static void
CompleteAll(Completion *completions, int n)
{
	MemoryContext		 context = AllocSetContextCreate(CurrentMemoryContext, "taskq complete_jobs", ALLOCSET_DEFAULT_SIZES);
	MemoryContext		 old;
	ErrorContextCallback callback = { .previous = error_context_stack, .callback = NameJob };
	OwnerScope			 scope;
	Store				 jobs;
	JobBatch			 batch = { 0 };

	qsort(completions, n, sizeof(Completion), CompareByJob);
	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	jobs.batch = &batch;
	old = MemoryContextSwitchTo(context);
	error_context_stack = &callback;
	for (int i = 0; i < n; i++)
	{
		callback.arg = &completions[i];
		CHECK_FOR_INTERRUPTS();
		completions[i].status = CompleteOne(&jobs, &completions[i], &scope);
		MemoryContextReset(context);
	}
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	JobBatchWrite(&jobs);
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	qsort(completions, n, sizeof(Completion), CompareByPosition);
}

/* The columns of complete_jobs(). */
static const Oid columns[] = { INT8OID, INT8OID, TEXTOID };

Datum
taskq_complete_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Completion	  *completions;
	int			   n;

	CheckCall(fcinfo);
	CheckWritable("taskq.complete_jobs()");
	BeginRows(fcinfo, lengthof(columns), columns);
	completions = ReadCompletions(fcinfo, &n);
	CompleteAll(completions, n);
	for (int i = 0; i < n; i++)
	{
		Datum values[3];
		bool  nulls[3] = { false, false, false };

		values[0] = Int64GetDatum(completions[i].job_id);
		values[1] = Int64GetDatum(completions[i].epoch);
		values[2] = CStringGetTextDatum(completions[i].status);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
