/*
 * describe.c
 *	  describe_job(): describe the state of one job, and why it does not run.
 *
 * It is meant for roles that may not read all jobs, so it does not show the contents
 * of the job: payload, result and progress.  whose.c decides who may see which jobs.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/rows.h"
#include "claim/why_not.h"
#include "job/whose.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_describe_job);

/* The columns of describe_job(). */
static const Oid columns[] = { INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID };

/*
 * The reason is what a waiting job waits for, or why a job ended without completing.
 * $2 is what keeps a waiting job from being claimed, or NULL.
 */
static const char *const query =
	"SELECT j.job_id, j.task_type, j.queue, j.state,"
	" CASE j.state"
	"  WHEN 'available' THEN COALESCE($2, 'waits for its turn')"
	"  WHEN 'scheduled' THEN COALESCE($2, 'waits for its run_at')"
	"  WHEN 'retryable' THEN COALESCE($2, 'waits for its next attempt')"
	"  WHEN 'running' THEN CASE WHEN EXISTS (SELECT FROM taskq.cancel_requests c WHERE c.job_id = j.job_id)"
	"   THEN 'is to be cancelled' END"
	"  WHEN 'discarded' THEN CASE WHEN f.outcome IS NULL THEN 'discarded by an operator'"
	"   WHEN f.outcome = 'unhandled' THEN 'no handler registered'"
	"   WHEN j.attempt >= j.max_attempts THEN 'no attempts left' ELSE 'not worth a retry' END"
	"  WHEN 'quarantined' THEN 'it crashed the server'"
	" END,"
	" j.priority, j.attempt, j.max_attempts, j.run_at, j.created_at, j.started_at, j.finished_at, j.worker_id,"
	" COALESCE(f.error_type, l.error_type), COALESCE(f.error_code, l.error_code), j.last_error, j.instance_id"
	" FROM taskq.all_jobs j"
	" LEFT JOIN taskq.attempt_failures f ON f.job_id = j.job_id AND f.epoch = j.epoch"
	" LEFT JOIN LATERAL (SELECT a.error_type, a.error_code FROM taskq.attempt_failures a"
	"  WHERE a.job_id = j.job_id AND j.finished_at IS NULL ORDER BY a.epoch DESC LIMIT 1) l ON true"
	" WHERE j.job_id = $1";

Datum
taskq_describe_job(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			   types[] = { INT8OID, TEXTOID };
	Datum		   values[2];
	const char	  *reason;
	int64		   job_id;
	OwnerScope	   scope;
	uint64		   n;

	CheckArgCount(fcinfo, 1);
	BeginRows(fcinfo, lengthof(columns), columns);
	job_id = ArgId(fcinfo, 0, "job_id");
	values[0] = Int64GetDatum(job_id);
	if (!WhoseMaySee(job_id))
		WhoseNotSeen(job_id);
	reason = WhyJobWaits(job_id);
	values[1] = reason == NULL ? (Datum) 0 : CStringGetTextDatum(reason);
	OwnerEnterSpi(&scope);
	/* Compiling never pays for one row, but the planner may overestimate the cost of the views. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	n = OwnerExecute(query, 2, types, values, reason == NULL ? " n" : NULL);
	CheckSameColumns(result->setDesc, SPI_tuptable->tupdesc);
	for (uint64 i = 0; i < n; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	OwnerLeaveSpi(&scope);
	if (n == 0)
		WhoseNotSeen(job_id);
	return (Datum) 0;
}
