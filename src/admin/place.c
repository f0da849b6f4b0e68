/*
 * place.c
 *	  The place of a waiting job in its line, for describe_job().
 *
 * The line is what a claim reads in order: the due jobs of the route, or of the job's lane.
 * Each priority is counted by itself, so that jobs of a better priority that are not due yet
 * are not read, and no more than MAX_PLACE jobs are.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "admin/place.h"
#include "base/clock.h"
#include "config/limit.h"
#include "config/queue.h"
#include "config/route.h"
#include "job/job.h"
#include "job/live.h"
#include "job/tenants.h"
#include "ready/key_lane.h"
#include "store/owner.h"

#define MAX_PLACE 1000 /* as the LIMIT of the query */

/* The parameters of the query. */
enum
{
	PARAM_ROUTE,
	PARAM_LANE,
	PARAM_JOB,
	PARAM_PRIORITY,
	PARAM_RUN_AT,
	PARAM_NOW,
	PARAM_AGE_EVERY,
	PARAM_COUNT
};

static const Oid param_types[PARAM_COUNT] = { INT4OID, INT8OID, INT8OID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID };

#define OPEN_LINE "j.gate = 'o' AND j.route_id = $1"
#define LANE_LINE "j.gate = 'l' AND j.route_id = $1 AND j.lane = $2"

/*
 * With age_every, $7, a job of another priority is ahead if its run_at is before one that is
 * that many times later or earlier; two thousand years are enough.  Without it, all jobs of a
 * better priority are ahead.
 */
#define QUERY(line)                                                                                                                           \
	"WITH RECURSIVE level(priority) AS ("                                                                                                     \
	" (SELECT j.priority FROM taskq.jobs j WHERE " line " ORDER BY j.priority LIMIT 1)"                                                       \
	" UNION ALL SELECT (SELECT j.priority FROM taskq.jobs j WHERE " line " AND j.priority > l.priority"                                       \
	"  ORDER BY j.priority LIMIT 1) FROM level l WHERE l.priority < CASE WHEN $7 = 0 THEN $4 ELSE 32767 END)"                                 \
	" SELECT count(*) FROM (SELECT FROM level l, LATERAL (SELECT FROM taskq.jobs j WHERE " line                                               \
	"  AND j.priority = l.priority AND j.run_at <= $6 AND (j.run_at, j.job_id) < (CASE"                                                       \
	"   WHEN $7 = 0 AND l.priority < $4 THEN 'infinity' WHEN l.priority = $4 THEN $5"                                                         \
	"   ELSE $5 + LEAST(GREATEST(($4::bigint - l.priority) * $7, -63e15::bigint), 63e15::bigint)::float8 * interval '1 microsecond' END, $3)" \
	"  LIMIT 1000) a WHERE l.priority <= $4 OR $7 <> 0 LIMIT 1000) ahead"

/*
 * Return the place of this job among those that are due and wait in the same line: "1" for the
 * first one.  Returns NULL for a job that is in no such line, and to callers who do not see the
 * jobs of all tenants.
 */
char *
PlaceInLine(int64 job_id)
{
	TaskqJob	job;
	TimestampTz now = ClockNow();
	Datum		values[PARAM_COUNT];
	OwnerScope	scope;
	bool		isnull;
	int64		ahead;

	if (TenantsSeen(false) != NULL || !LiveFind(job_id, &job) || job.run_at > now || LANE_IN_ORDER(job.lane) || (job.state != JOB_AVAILABLE && job.state != JOB_RETRYABLE))
		return NULL;
	values[PARAM_ROUTE] = Int32GetDatum(job.route_id);
	values[PARAM_LANE] = Int64GetDatum(job.lane);
	values[PARAM_JOB] = Int64GetDatum(job_id);
	values[PARAM_PRIORITY] = Int16GetDatum(job.priority);
	values[PARAM_RUN_AT] = TimestampTzGetDatum(job.run_at);
	values[PARAM_NOW] = TimestampTzGetDatum(now);
	values[PARAM_AGE_EVERY] = Int64GetDatum(LimitsOfRoute(job.route_id)->keys != 0 ? 0 : QueueById(RouteById(job.route_id)->queue_id)->age_every);
	OwnerEnterSpi(&scope);
	(void) OwnerExecute(job.lane == 0 ? QUERY(OPEN_LINE) : QUERY(LANE_LINE), PARAM_COUNT, (Oid *) param_types, values, NULL);
	ahead = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	OwnerLeaveSpi(&scope);
	return ahead < MAX_PLACE ? psprintf("%d", (int) ahead + 1) : psprintf("%d+", MAX_PLACE);
}
