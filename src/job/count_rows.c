/*
 * count_rows.c
 *	  Counting the live jobs of each route in their rows.
 *
 * From the result on, shared/counts.c keeps the counts right.
 */
#include "taskq.h"

#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/injection_point.h"
#include "job/count_rows.h"
#include "job/job.h"

#define SHORT_BLOCKS 1000  /* a table of so many blocks is counted in some milliseconds */
#define ROWS_TO_STOP 10000 /* whether to stop is asked after so many rows */

/* In which class is a job counted that is stored in this state? */
CountClass
CountClassOf(char state, TimestampTz run_at, TimestampTz created_at)
{
	switch (state)
	{
		case JOB_AVAILABLE:
			return run_at <= created_at ? COUNT_AT_ONCE : COUNT_LATER;
		case JOB_RETRYABLE:
			return COUNT_RETRYABLE;
		case JOB_RUNNING:
			return COUNT_RUNNING;
	}
	return COUNT_NOT;
}

static void
CountRow(HTAB *routes, TupleTableSlot *slot)
{
	JobCounts counts;
	JobKey	  key;
	JobAge	  age;
	CountClass class;

	JobReadKey(&key, slot);
	age = (JobAge){ JobCreatedAtOfRow(slot), key.job_id };
	class = CountClassOf(JobStateOfRow(slot), key.run_at, age.created_at);
	if (class == COUNT_NOT)
		return;
	CountsClear(&counts);
	counts.n[class] = 1;
	if (class == COUNT_AT_ONCE)
		counts.newest = age.created_at;
	if (class != COUNT_RUNNING)
		counts.oldest = age;
	CountsAddTo(routes, JobRouteOfRow(slot), &counts);
}

/* Count the rows that a snapshot sees.  Returns false if the caller wants to stop. */
static bool
CountTable(Relation jobs, Snapshot snapshot, HTAB *routes, CountStopFunction must_stop)
{
	TupleTableSlot *slot = table_slot_create(jobs, NULL);
	TableScanDesc	scan = table_beginscan_compat(jobs, snapshot);
	int64			n = 0;
	bool			stopped = false;

	while (!stopped && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		CountRow(routes, slot);
		stopped = ++n % ROWS_TO_STOP == 0 && must_stop();
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return !stopped;
}

/* Can the rows be counted in some milliseconds? */
bool
CountIsShort(void)
{
	Relation jobs = CatalogOpen(REL_JOBS, AccessShareLock);
	bool	 is_short = RelationGetNumberOfBlocks(jobs) <= SHORT_BLOCKS;

	table_close(jobs, AccessShareLock);
	return is_short;
}

/*
 * Count the rows, and have the counts shown, unless "must_stop" returns true.  The table
 * is opened before the snapshot is taken: TRUNCATE removes rows that an older
 * snapshot should see.
 */
void
CountRows(CountStopFunction must_stop)
{
	Relation jobs = CatalogOpen(REL_JOBS, AccessShareLock);
	HTAB	*routes = CountsMakeTable();
	Snapshot snapshot;
	uint64	 number = CountsBegin(RelationGetRelid(jobs), &snapshot);

	if (number != 0)
	{
		TASKQ_INJECTION_POINT("count");
		if (CountTable(jobs, snapshot, routes, must_stop))
			(void) CountsEnd(number, routes);
		UnregisterSnapshot(snapshot);
	}
	hash_destroy(routes);
	table_close(jobs, AccessShareLock);
}
