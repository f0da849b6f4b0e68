/*
 * recheck.c
 *	  Having a second look at what the ready list says is complete.
 *
 * Jobs can come past the list: restored into the table, replicated, put back by
 * someone who locks rows by hand.  So now and then the scheduler reads the index
 * from its head up to where each lane ends, and puts in what it finds.  A hint too
 * many does no harm.  There may be any number of dead entries at the head, so it
 * reads a few at a time and goes on in its next look.
 */
#include "taskq.h"

#include "access/table.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "claim/recheck.h"
#include "claim/scan.h"
#include "ready/ready.h"

#define STEPS 2000		 /* dead entries that a look reads */
#define PAUSE_FACTOR 100 /* so at most a hundredth of a core is spent on it */

/* What is still to be checked in this round, and from where on the first of it. */
static int32 *routes = NULL;
static int	  n_routes = 0;
static JobKey place = JOB_KEY_BEGIN;

/* When that was last done, and how long it then is not. */
static TimestampTz checked_at = 0;
static int64	   pause_length = 0;

/*
 * What is below "until" goes into the list; the rest of the priority will be read
 * anyway.  False: there is more.
 */
static bool
RecheckRoute(JobScan *scan, int32 route_id, TimestampTz now)
{
	ScanHint hint = { place };

	(void) ScanRefresh(scan);
	ScanRoute(scan, route_id, &place);
	while (ScanNext(scan, &hint))
	{
		ReadyHint ready = { { hint.key.run_at, hint.key.job_id }, hint.tid };

		if (ReadyPush(route_id, hint.key.priority, &ready, now))
			continue;
		place = (JobKey){ hint.key.priority, DT_NOEND, PG_INT64_MAX };
		ScanRoute(scan, route_id, &place);
	}
	ScanRest(scan);
	place = scan->stopped ? hint.key : JOB_KEY_BEGIN;
	return !scan->stopped;
}

/* Begin anew with the routes that there are now. */
static void
BeginRound(void)
{
	int32 *all;

	ReadySweep();
	n_routes = ReadyRoutes(&all);
	if (routes != NULL)
		pfree(routes);
	routes = MemoryContextAlloc(TopMemoryContext, sizeof(int32) * (n_routes + 1));
	memcpy(routes, all, sizeof(int32) * n_routes);
	pfree(all);
	place = JOB_KEY_BEGIN;
}

/*
 * Check the routes of this database, as far as it is time; when to go on with this
 * round.  DT_NOEND: it is over.
 */
TimestampTz
RecheckReadyList(void)
{
	TimestampTz now = ClockNow();
	Relation	jobs;
	JobScan		scan;

	if (!ReadyPresent())
		return DT_NOEND;
	if (!ClockHasPassed(checked_at, pause_length))
		return checked_at + pause_length;
	if (n_routes == 0)
		BeginRound();
	jobs = CatalogOpen(REL_JOBS, AccessShareLock);
	ScanBegin(&scan, jobs, STEPS);
	while (n_routes > 0 && RecheckRoute(&scan, routes[n_routes - 1], now))
		n_routes--;
	ScanEnd(&scan);
	table_close(jobs, AccessShareLock);
	checked_at = ClockNow();
	pause_length = Max(checked_at - now, 0) * PAUSE_FACTOR;
	return n_routes > 0 ? checked_at + pause_length : DT_NOEND;
}
