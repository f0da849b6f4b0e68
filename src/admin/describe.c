/*
 * describe.c
 *	  describe_job(): describe the state of one job, and why it does not run.
 *
 * It is meant for roles that may not read all jobs, so it does not show the contents
 * of the job: payload, result and progress.  whose.c decides who may see which jobs.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "admin/place.h"
#include "base/args.h"
#include "base/names.h"
#include "base/rows.h"
#include "base/signature.h"
#include "claim/why_not.h"
#include "job/history.h"
#include "job/whose.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_describe_job);

/* The columns of describe_job(). */
static const Oid columns[] = { INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID };

#define REASON_COLUMN 4
#define CODE_COLUMN 16
#define MISSING_COLUMN 17
#define OTHERS_COLUMN 19 /* texts, and then codes */
#define PLACE_COLUMN 21

/*
 * The reason is what a waiting job waits for, or why a job ended without completing.
 * $2 is the code of what keeps a waiting job from being claimed, or NULL.  The query
 * returns the code in both columns, and PutJob() sets the text.
 */
static const char *const query =
	"SELECT j.job_id, j.task_type, j.queue, j.state, c.code,"
	" j.priority, j.attempt, j.max_attempts, j.run_at, j.created_at, j.started_at, j.finished_at, j.worker_id,"
	" COALESCE(f.error_type, l.error_type), COALESCE(f.error_code, l.error_code), j.last_error, c.code, NULL::text[], j.instance_id, NULL::text[], NULL::text[], NULL::text"
	" FROM taskq.all_jobs j"
	" LEFT JOIN taskq.attempt_failures f ON f.job_id = j.job_id AND f.epoch = j.epoch"
	" LEFT JOIN LATERAL (SELECT a.error_type, a.error_code FROM taskq.attempt_failures a"
	"  WHERE a.job_id = j.job_id AND j.finished_at IS NULL ORDER BY a.epoch DESC LIMIT 1) l ON true"
	" CROSS JOIN LATERAL (SELECT CASE j.state"
	"  WHEN 'available' THEN COALESCE($2, 'turn')"
	"  WHEN 'scheduled' THEN COALESCE($2, 'run_at')"
	"  WHEN 'retryable' THEN COALESCE($2, 'next_attempt')"
	"  WHEN 'running' THEN CASE WHEN EXISTS (SELECT FROM taskq.cancel_requests c WHERE c.job_id = j.job_id)"
	"   THEN 'cancel_requested' END"
	"  WHEN 'discarded' THEN CASE WHEN f.outcome IS NULL THEN 'discarded'"
	"   WHEN f.outcome = 'unhandled' THEN 'no_handler'"
	"   WHEN j.attempt >= j.max_attempts THEN 'no_attempts_left' ELSE 'no_retry' END"
	"  WHEN 'quarantined' THEN 'crashed_server'"
	" END AS code) c"
	" WHERE j.job_id = $1";

/* The job is finished, and in the partition of day $3. */
#define IN_PARTITION " AND j.expires_on = $3"

/* The job is live. */
#define IS_LIVE " AND j.expires_on IS NULL"

/* Set the columns of the reasons after the first one. */
static void
PutOthers(const List *waits, Datum *values, bool *nulls)
{
	int	   n = 0;
	char **texts = palloc(sizeof(char *) * list_length(waits));
	char **codes = palloc(sizeof(char *) * list_length(waits));

	for (int i = 1; i < list_length(waits); i++)
	{
		const Reason *reason = list_nth(waits, i);

		texts[n] = pstrdup(reason->text);
		codes[n++] = pstrdup(ReasonName(reason->code));
	}
	values[OTHERS_COLUMN] = PointerGetDatum(StringsToNames(texts, n));
	values[OTHERS_COLUMN + 1] = PointerGetDatum(StringsToNames(codes, n));
	nulls[OTHERS_COLUMN] = nulls[OTHERS_COLUMN + 1] = false;
}

/*
 * Add a row of the query, with the texts of its reasons.  "waits" is why the job waits, if it
 * does, "turn" for whom, and "place" is its place in the line.
 */
static void
PutJob(ReturnSetInfo *result, HeapTuple row, const List *waits, const char *turn, const char *place)
{
	Datum  values[lengthof(columns)];
	bool   nulls[lengthof(columns)];
	Reason reason = { 0 };

	heap_deform_tuple(row, SPI_tuptable->tupdesc, values, nulls);
	if (!nulls[CODE_COLUMN])
		reason.code = ReasonByName(TextDatumGetCString(values[CODE_COLUMN]));
	if (waits != NIL && reason.code == ((const Reason *) linitial(waits))->code)
	{
		reason = *(const Reason *) linitial(waits);
		if (list_length(waits) > 1)
			PutOthers(waits, values, nulls);
	}
	else
		reason.text = reason.code == REASON_TURN && turn != NULL ? turn : ReasonText(reason.code);
	if (reason.code != REASON_NONE)
		values[REASON_COLUMN] = CStringGetTextDatum(reason.text);
	values[MISSING_COLUMN] = PointerGetDatum(reason.missing);
	nulls[MISSING_COLUMN] = reason.missing == NULL;
	if (place != NULL)
		values[PLACE_COLUMN] = CStringGetTextDatum(place);
	nulls[PLACE_COLUMN] = place == NULL;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Query the job.  The planner excludes the partitions of other days only if the query
 * names the day, so look the job up first.  If it has moved meanwhile, ask again.
 */
static uint64
AskAbout(int64 job_id, const List *waits)
{
	Oid			types[] = { INT8OID, TEXTOID, DATEOID };
	Datum		values[3] = { Int64GetDatum(job_id) };
	char		nulls[] = "   ";
	TaskqJob	job;
	TaskqEnding ending;
	bool		ended = HistoryFind(job_id, &job, &ending);
	uint64		n;

	if (waits == NIL)
		nulls[1] = 'n';
	else
		values[1] = CStringGetTextDatum(ReasonName(((const Reason *) linitial(waits))->code));
	if (ended)
		values[2] = DateADTGetDatum(ending.expires_on);
	else
		nulls[2] = 'n';
	n = OwnerExecute(psprintf("%s%s", query, ended ? IN_PARTITION : IS_LIVE), 3, types, values, nulls);
	return n > 0 ? n : OwnerExecute(query, 2, types, values, nulls);
}

Datum
taskq_describe_job(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List		  *waits;
	const char	  *turn;
	const char	  *place;
	int64		   job_id;
	OwnerScope	   scope;
	uint64		   n;

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(columns), columns);
	job_id = ArgId(fcinfo, 0, "job_id");
	if (!WhoseMaySee(job_id))
		WhoseNotSeen(job_id);
	waits = WhyJobWaits(job_id);
	turn = waits == NIL ? WhoseTurn(job_id) : NULL;
	place = PlaceInLine(job_id);
	OwnerEnterSpi(&scope);
	/* Compiling never pays for one row, but the planner may overestimate the cost of the views. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	n = AskAbout(job_id, waits);
	CheckSameColumns(result->setDesc, SPI_tuptable->tupdesc);
	for (uint64 i = 0; i < n; i++)
		PutJob(result, SPI_tuptable->vals[i], waits, turn, place);
	OwnerLeaveSpi(&scope);
	if (n == 0)
		WhoseNotSeen(job_id);
	return (Datum) 0;
}
