/*
 * redrive.c
 *	  redrive_jobs(): put back many ended jobs at once, after the cause of their
 *	  failure is removed.
 *
 * A query finds the jobs and locks their history rows, and skips rows that others have
 * locked.  Then the jobs are put back one by one as retry_job() does, in the order of
 * their ids and without waiting.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/signature.h"
#include "config/queue.h"
#include "job/history.h"
#include "job/job.h"
#include "settle/operator.h"
#include "store/catalog.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_redrive_jobs);

#define MAX_REDRIVE 1000000 /* jobs in one call, which is one transaction */

enum
{
	ARG_TASK_TYPE,
	ARG_QUEUE,
	ARG_ERROR_TYPE,
	ARG_ERROR_CODE,
	ARG_ERROR_LIKE,
	ARG_STATES,
	ARG_FINISHED_AFTER,
	ARG_FINISHED_BEFORE,
	ARG_TENANT_ID,
	ARG_MAX_JOBS,
	ARG_COUNT
};

/* The states from which a job can be redriven. */
static const char ended[] = { JOB_DISCARDED, JOB_CANCELLED, JOB_QUARANTINED };

static void
RequireState(const char *name)
{
	for (int k = 0; k < lengthof(ended); k++)
		if (strcmp(StateName(ended[k], 0), name) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("jobs that are \"%s\" are not put back by redrive_jobs()", name),
			 errhint("Use discarded, cancelled or quarantined. A completed job is put back by taskq.retry_job(job_id, force => true).")));
}

/* Read the argument "states" as an array of the letters that are stored.  NULL means all states in "ended". */
static Datum
ArgStates(FunctionCallInfo fcinfo)
{
	ArrayType *names = ArgSomeNamesOrNull(fcinfo, ARG_STATES, "states");
	char	 **strings = NULL;
	int		   n = 0;
	Datum	   letters[lengthof(ended)];
	int		   n_letters = 0;

	if (names != NULL)
		strings = NamesToStrings(names, &n, "states");
	for (int i = 0; i < n; i++)
		RequireState(strings[i]);
	for (int k = 0; k < lengthof(ended); k++)
		if (names == NULL || NamesContain(names, StateName(ended[k], 0)))
			letters[n_letters++] = CharGetDatum(ended[k]);
	return PointerGetDatum(construct_array(letters, n_letters, CHAROID, 1, true, TYPALIGN_CHAR));
}

/* Refuse a pattern for which LIKE would raise an error, but only when it meets a text that matches up to there. */
static void
CheckPattern(FunctionCallInfo fcinfo)
{
	char *pattern = ArgShortTextOrNull(fcinfo, ARG_ERROR_LIKE, "error_like");
	int	  escapes = 0;

	for (int i = pattern == NULL ? 0 : strlen(pattern); i > 0 && pattern[i - 1] == '\\'; i--)
		escapes++;
	if (escapes % 2 == 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("error_like ends with an escape character"),
				 errhint("Double the backslash.")));
}

static int
CompareIds(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

/*
 * Find and lock the jobs that match the arguments, and return their ids in ascending
 * order.  If there are more than max_jobs, those that ended first are taken.  The
 * error type and code are those of the last attempt; a job that was discarded without
 * an attempt has none.
 */
static int64 *
LockJobs(Datum *values, const char *nulls, int *count)
{
	static const char *const query =
		"SELECT h.job_id FROM taskq.job_history h JOIN taskq.routes r USING (route_id)"
		" LEFT JOIN taskq.queue_defs q USING (queue_id)"
		" LEFT JOIN taskq.attempt_failures f ON f.job_id = h.job_id AND f.epoch = h.epoch"
		" WHERE NOT h.superseded AND h.payload IS NOT NULL AND h.state = ANY ($6)"
		" AND ($1 IS NULL OR r.task_type = $1)"
		" AND ($2 IS NULL OR COALESCE(q.queue, 'default') = $2)"
		" AND ($3 IS NULL OR f.error_type = $3)"
		" AND ($4 IS NULL OR f.error_code = $4)"
		" AND ($5 IS NULL OR h.last_error LIKE $5)"
		" AND ($7 IS NULL OR h.finished_at >= $7)"
		" AND ($8 IS NULL OR h.finished_at < $8)"
		" AND ($9 IS NULL OR h.tenant_id = $9)"
		" ORDER BY h.finished_at, h.job_id LIMIT $10 FOR UPDATE OF h SKIP LOCKED";
	Oid			  types[ARG_COUNT] = { TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, CHARARRAYOID,
									   TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT4OID };
	MemoryContext context = CurrentMemoryContext;
	OwnerScope	  scope;
	int64		 *ids;

	OwnerEnterSpi(&scope);
	*count = (int) OwnerExecute(query, ARG_COUNT, types, values, nulls);
	ids = MemoryContextAllocHuge(context, sizeof(int64) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		bool isnull;

		ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	OwnerLeaveSpi(&scope);
	qsort(ids, *count, sizeof(int64), CompareIds);
	return ids;
}

/* Put one job back, if it can still be put back.  Returns whether it was. */
static bool
Redrive(int64 job_id)
{
	OwnerScope	scope;
	Store		jobs;
	TaskqJob	job;
	TaskqEnding ending;
	bool		done;

	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	done = HistoryFind(job_id, &job, &ending) && job.state != JOB_COMPLETED && job.payload != NULL &&
		   PutBackEnded(&jobs, &job, false) == STORE_LOCKED;
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	return done;
}

Datum
taskq_redrive_jobs(PG_FUNCTION_ARGS)
{
	Datum		  values[ARG_COUNT];
	char		  nulls[ARG_COUNT + 1] = { 0 };
	int64		 *ids;
	int			  n;
	int			  redriven = 0;
	MemoryContext context;
	MemoryContext old;

	CheckCall(fcinfo);
	CheckWritable("taskq.redrive_jobs()");
	(void) ArgNameOrNull(fcinfo, ARG_TASK_TYPE, "task_type");
	if (!PG_ARGISNULL(ARG_QUEUE))
		(void) QueueByName(ArgName(fcinfo, ARG_QUEUE, "queue"), false);
	CheckArgText(fcinfo, ARG_ERROR_CODE, "error_code");
	CheckPattern(fcinfo);
	(void) ArgInt(fcinfo, ARG_MAX_JOBS, "max_jobs", 1, MAX_REDRIVE);
	for (int i = 0; i < ARG_COUNT; i++)
	{
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	values[ARG_STATES] = ArgStates(fcinfo);
	nulls[ARG_STATES] = ' ';
	ids = LockJobs(values, nulls, &n);

	context = AllocSetContextCreate(CurrentMemoryContext, "taskq redrive_jobs", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (Redrive(ids[i]))
			redriven++;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	PG_RETURN_INT32(redriven);
}
