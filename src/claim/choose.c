/*
 * choose.c
 *	  Choosing the job that a claim tries next.
 *
 * A claim tries the first due job of all its routes (heads.c), and takes several hints
 * at once from the ready list if it wants more jobs.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "claim/choose.h"
#include "claim/heads.h"
#include "claim/lane_cursor.h"
#include "ready/key_lane.h"
#include "ready/ready.h"

#define MIN_AHEAD 8
#define MAX_AHEAD 512
#define MAX_FILL_WAITS 13 /* for one fill of the list by another process: 51 ms in all */
#define MAX_ALL_WAITS 200 /* for several of them */
#define MAX_IN_VAIN 100	  /* after this many empty results from the list, read the index */

/* Begin to choose jobs of these routes.  heads.h says what "place" is for. */
void
ChooseBegin(ClaimScan *scan, Store *jobs, const RouteSet *routes, int most, ClaimPlace *place, bool sees_own)
{
	memset(scan, 0, sizeof(*scan));
	scan->jobs = jobs;
	ScanBegin(&scan->scan, REL_JOBS_OPEN, jobs->rel, 0);
	scan->now = ClockNow();
	scan->next_due = DT_NOEND;
	scan->wanted = most;
	scan->ahead = Max(MIN_AHEAD, Min(most, MAX_AHEAD));
	HeadsBegin(scan, routes, place, sees_own);
}

ReadyKey
HintPlace(const ScanHint *hint)
{
	return (ReadyKey){ hint->key.run_at, hint->key.job_id };
}

/* Return the unused hints to the ready list, and end the scan. */
void
ChooseEnd(ClaimScan *scan)
{
	if (scan->taken != NULL)
		ChoosePutBack(scan->taken);
	ScanEnd(&scan->scan);
	if (scan->lanes.heap != NULL)
		ScanEnd(&scan->lanes);
	HeadsEnd(scan);
}

/* Return the key of the lane of the list up to which its jobs precede those of other lanes and routes. */
static ReadyKey
Bound(const ClaimCursor *cursor, const JobKey *key, const JobKey *second)
{
	ReadyKey bound;

	if (cursor->age_every != 0 && HeadPrecedes(&cursor->second, second))
		second = &cursor->second;
	if (second->priority != key->priority)
		return READY_END;
	bound = (ReadyKey){ second->run_at, second->job_id };
	return cursor->age_every == 0 ? bound : ReadyAged(bound, cursor->priority, -cursor->age_every);
}

/*
 * Another process is filling the lane from the index, which takes far less than a
 * millisecond.  Wait for that, but not long, as the process may have been stopped: all who read
 * the index from there on themselves would try to lock the same rows.  With many claimers,
 * others may take what one fill brings, so wait on while there are new ones.
 */
static bool
AwaitFill(ClaimScan *scan)
{
	uint64 fills = ReadyFills();

	if (fills != scan->fills)
		scan->fill_waits = 0;
	scan->fills = fills;
	if (scan->fill_waits == MAX_FILL_WAITS || scan->all_waits++ == MAX_ALL_WAITS)
		return false;
	pg_usleep(100L << Min(scan->fill_waits, 6));
	scan->fill_waits++;
	return true;
}

/* Take hints from the ready list, but only those up to the bound. */
static void
TakeHints(ClaimScan *scan, ClaimCursor *cursor, const HeadsBound *until)
{
	const JobKey *key = &cursor->head;
	ReadyHint	  hints[MAX_AHEAD];
	ReadyKey	  bound = Bound(cursor, key, &until->key);
	int			  most = Max(Min(Min(scan->wanted, scan->ahead), until->starts), 1);
	bool		  low = false;
	int			  n;

	scan->taken = NULL;
	CursorMakeHints(scan, cursor);
	if (cursor->must_fill)
		n = ScanFill(&scan->scan, cursor->route_id, cursor->priority, scan->now, &bound, most, hints);
	else
	{
		ReadyReserve(most);
		n = ReadyTake(cursor->route_id, cursor->priority, scan->now, &bound, most, hints, &low);
		ReadyHeld(cursor->route_id, cursor->priority, 0, hints, n);
	}
	if (n < 0 && AwaitFill(scan))
		return;
	if (n == 0 && ++cursor->in_vain == MAX_IN_VAIN)
		cursor->reads = true;
	if (n < 0)
	{
		/* another process is filling the lane: read the index, from this job on ("after" itself is not read) */
		cursor->reads = true;
		cursor->after = *key;
		if (key->job_id > PG_INT64_MIN)
			cursor->after.job_id--;
		return;
	}
	for (int i = 0; i < n; i++)
	{
		cursor->hints[i].key = (JobKey){ cursor->priority, hints[i].key.run_at, hints[i].key.job_id };
		cursor->hints[i].tid = hints[i].tid;
	}
	cursor->n_hints = n;
	scan->taken = cursor;
	scan->fill_waits = scan->all_waits = 0;
	if (low)
		(void) ScanFill(&scan->scan, cursor->route_id, cursor->priority, scan->now, &bound, 0, NULL);
}

/* Return the cursor with the first hint of all. */
ClaimCursor *
ChooseNext(ClaimScan *scan)
{
	for (;;)
	{
		HeadsBound	 bound;
		ClaimCursor *first;

		if (scan->taken != NULL && CursorHasHint(scan->taken))
			return scan->taken;
		first = HeadsFirst(scan, &bound);
		if (first == NULL || (first->reads && !first->in_lane))
			return first;
		CHECK_FOR_INTERRUPTS();
		if (!first->in_lane)
			TakeHints(scan, first, &bound);
		else if (LaneCursorTake(scan, first, &bound))
			scan->taken = first;
	}
}

/* Return the unused hints of a route to the ready list. */
void
ChoosePutBack(ClaimCursor *cursor)
{
	if (cursor->in_lane && cursor->has_lane_hint && cursor->reader == NULL)
	{
		ReadyPutBack(HintPlace(&cursor->lane_hint));
		KeyLaneLetGo(true, NULL);
	}
	cursor->has_lane_hint = false;
	while (cursor->at < cursor->n_hints && !cursor->reads)
		ReadyPutBack(HintPlace(&cursor->hints[cursor->at++]));
}

/*
 * The first job of a cursor was tried.  With "passed", it starts, or is not there.
 * "waits_for" is a value of a limit because of which no other job of its lane can start, or
 * NULL.
 */
void
ChoosePass(ClaimScan *scan, ClaimCursor *cursor, bool passed, const HeldWait *waits_for)
{
	if (cursor->in_lane)
		LaneCursorPass(scan, cursor, passed, waits_for);
	else
		cursor->at++;
}

/* May the job with this row, which was chosen, start before the others? */
bool
ChooseHasTurn(ClaimCursor *cursor, TupleTableSlot *row)
{
	return !cursor->in_lane || LaneCursorHasTurn(cursor, row);
}

/* Mark a route as finished, and return its unused hints to the ready list. */
void
ChooseFinish(ClaimCursor *cursor)
{
	ChoosePutBack(cursor);
	cursor->finished = cursor->given_up = true;
	cursor->at = cursor->n_hints;
}

/*
 * Count a route's due jobs through the ready list; returns false if the list is not
 * complete.
 */
static bool
CountListed(ClaimScan *scan, int32 route_id, int most, int *due)
{
	ReadyLaneInfo lanes[READY_MAX_LANES];
	int			  n = ReadyInUse() ? ReadyLanes(route_id, scan->now, lanes) : -1;
	ScanHint	  hint;

	*due = 0;
	for (int i = 0; i < n && *due < most; i++)
	{
		ReadyLaneInfo *lane = &lanes[i];

		*due = Min(*due + lane->n_due, most);
		if (lane->next.run_at > scan->now)
		{
			scan->next_due = Min(scan->next_due, lane->next.run_at);
			continue;
		}
		ScanLane(&scan->scan, route_id, lane->priority, &lane->next);
		while (*due < most && ScanNext(&scan->scan, &hint))
		{
			if (hint.key.run_at > scan->now)
			{
				scan->next_due = Min(scan->next_due, hint.key.run_at);
				break;
			}
			(*due)++;
		}
	}
	ScanRest(&scan->scan);
	return n >= 0;
}

/*
 * Count the due jobs of each of these routes, up to "most" for each, and find the
 * moment when the next job becomes due.  Returns the total.  Takes no row locks.
 */
int
ClaimCountDue(const RouteSet *routes, int most, int *due, TimestampTz *next_due)
{
	Store		 jobs;
	ClaimScan	 scan;
	ClaimCursor *cursors;
	int			 all = 0;

	StoreOpenRel(&jobs, REL_JOBS);
	ChooseBegin(&scan, &jobs, routes, most, NULL, false);
	cursors = HeadsCursors(&scan);
	for (int i = 0; i < routes->n; i++)
	{
		ClaimCursor *cursor = &cursors[i];

		if (!CountListed(&scan, cursor->route_id, most, &due[i]))
		{
			CursorReadAhead(&scan, cursor);
			due[i] = cursor->n_hints;
			pfree(cursor->hints);
		}
		due[i] += LaneCursorCount(&scan, cursor, most - due[i]);
		all += due[i];
	}
	ChooseEnd(&scan);
	StoreClose(&jobs, false);
	*next_due = scan.next_due;
	return all;
}
