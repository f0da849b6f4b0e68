/*
 * current.c
 *	  The job that this process runs, if it runs one; what a handler may ask.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "args.h"
#include "current.h"
#include "error.h"

PG_FUNCTION_INFO_V1(taskq_current_job);
PG_FUNCTION_INFO_V1(taskq_raise_permanent);
PG_FUNCTION_INFO_V1(taskq_raise_retryable);

/* A handler may run jobs by hand, so there can be several, the last one on top. */
#define MAX_NESTED 16

static const TaskqJob *current_jobs[MAX_NESTED];
static int	n_current = 0;

/*
 * A job begins to run; how many there were before, for CurrentReset().  It must
 * live until then.
 */
int
CurrentPush(const TaskqJob *job)
{
	if (n_current == MAX_NESTED)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("handlers run jobs within jobs more than %d deep", MAX_NESTED)));
	current_jobs[n_current++] = job;
	return n_current - 1;
}

void
CurrentReset(int depth)
{
	n_current = depth;
}

/* Is this a job that runs in this process, however deep? */
bool
CurrentIs(int64 job_id)
{
	for (int i = 0; i < n_current; i++)
		if (current_jobs[i]->job_id == job_id)
			return true;
	return false;
}

/* A run ends by returning or raising, never by a call of its own handler. */
void
CurrentRefuse(int64 job_id, const char *what)
{
	if (!CurrentIs(job_id))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TQ_INVALID_TRANSITION),
			 errmsg("a handler cannot %s the job that it runs", what),
			 errhint("Return a result to complete it; call taskq.raise_permanent() or taskq.raise_retryable() to fail it.")));
}

Datum
taskq_current_job(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 0);
	if (n_current == 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(HeapTupleGetDatum(JobTuple(current_jobs[n_current - 1], BlessTupleDesc(JobTupleDesc()))));
}

/*
 * Fail the attempt.  The application's error code, the wished delay and the
 * error type travel in the error's CONSTRAINT, COLUMN and DATATYPE fields, so
 * that PL/pgSQL can raise the same by RAISE ... USING ERRCODE = 'TQ021',
 * CONSTRAINT = 'code', COLUMN = '30 s'.
 */
void
RaiseForJob(bool retryable, const char *message, const char *code, const char *type, const char *retry_in)
{
	ereport(ERROR,
			(errcode(retryable ? ERRCODE_TQ_RETRYABLE : ERRCODE_TQ_PERMANENT),
			 errmsg("%s", message != NULL ? message : "the handler failed"),
			 code != NULL ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, code) : 0,
			 type != NULL ? err_generic_string(PG_DIAG_DATATYPE_NAME, type) : 0,
			 retry_in != NULL ? err_generic_string(PG_DIAG_COLUMN_NAME, retry_in) : 0));
}

Datum
taskq_raise_permanent(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 2);
	RaiseForJob(false, ArgTextOrNull(fcinfo, 0), ArgTextOrNull(fcinfo, 1), NULL, NULL);
	PG_RETURN_VOID();
}

Datum
taskq_raise_retryable(PG_FUNCTION_ARGS)
{
	char	   *retry_in = NULL;

	CheckArgCount(fcinfo, 3);
	if (ArgMicroseconds(fcinfo, 2, "retry_in", 0) != NO_MICROSECONDS)
		retry_in = DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(2)));
	RaiseForJob(true, ArgTextOrNull(fcinfo, 0), ArgTextOrNull(fcinfo, 1), NULL, retry_in);
	PG_RETURN_VOID();
}
