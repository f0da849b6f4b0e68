/*
 * recheck.c
 *	  Having a second look at what the ready list says is complete.
 *
 * Jobs can come past the list: restored into the table, replicated, put back by
 * someone who locks rows by hand.  So now and then the scheduler reads the index
 * from its head up to where each lane ends, and puts in what it finds.  A hint too
 * many does no harm.
 */
#include "taskq.h"

#include "access/table.h"

#include "clock.h"
#include "guc.h"
#include "ready.h"
#include "recheck.h"
#include "scan.h"

#define PAUSE_FACTOR 100		/* so at most a hundredth of a core is spent on it */

static TimestampTz next_check = 0;

/* What is below "until" goes into the list; the rest of the priority will be read anyway. */
static void
RecheckRoute(JobScan *scan, int32 route_id, TimestampTz now)
{
	JobKey		after = JOB_KEY_BEGIN;
	ScanHint	hint;

	(void) ScanRefresh(scan);
	ScanRoute(scan, route_id, &after);
	while (ScanNext(scan, &hint))
	{
		ReadyHint	ready = {{hint.key.run_at, hint.key.job_id}, hint.tid};

		if (ReadyPush(route_id, hint.key.priority, &ready, now))
			continue;
		after = (JobKey) {hint.key.priority, DT_NOEND, PG_INT64_MAX};
		ScanRoute(scan, route_id, &after);
	}
	ScanRest(scan);
}

/* Check all routes of this database, if it is time; when it will be next. */
TimestampTz
RecheckReadyList(void)
{
	TimestampTz now = ClockNow();
	JobScan		scan;
	Relation	jobs;
	int32	   *routes;
	int			n;

	if (!ReadyPresent())
		return DT_NOEND;
	if (now < next_check)
		return next_check;
	n = ReadyRoutes(&routes);
	jobs = table_open(CatalogRel(REL_JOBS), AccessShareLock);
	ScanBegin(&scan, jobs);
	for (int i = 0; i < n; i++)
		RecheckRoute(&scan, routes[i], now);
	ScanEnd(&scan);
	table_close(jobs, AccessShareLock);
	pfree(routes);
	next_check = ClockNow();
	next_check += Max((int64) taskq_poll_interval * 1000, (next_check - now) * PAUSE_FACTOR);
	return next_check;
}
