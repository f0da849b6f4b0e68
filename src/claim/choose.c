/*
 * choose.c
 *	  Choosing the job that a claim tries next.
 *
 * A claim keeps its routes in a heap by their first due jobs, and tries that of the
 * top.  It looks at each route once to build the heap, and later only at the top.
 */
#include "taskq.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "claim/choose.h"
#include "ready/ready.h"

#define MIN_AHEAD 8
#define MAX_AHEAD 512
#define MAX_IN_VAIN 100 /* after this many empty results from the list, read the index */

void
ChooseBegin(ClaimScan *scan, Store *jobs, const RouteSet *routes, int most, bool sees_own)
{
	memset(scan, 0, sizeof(*scan));
	scan->jobs = jobs;
	ScanBegin(&scan->scan, jobs->rel, 0);
	scan->context = CurrentMemoryContext;
	scan->now = ClockNow();
	scan->next_due = DT_NOEND;
	scan->wanted = most;
	scan->ahead = Max(MIN_AHEAD, Min(most, MAX_AHEAD));
	scan->n_cursors = routes->n;
	scan->cursors = palloc0(sizeof(ClaimCursor) * Max(routes->n, 1));
	for (int i = 0; i < routes->n; i++)
	{
		ClaimCursor *cursor = &scan->cursors[i];

		cursor->route_id = routes->ids[i];
		cursor->rank = routes->ranks[i];
		cursor->reads = CursorMustRead(cursor->route_id, sees_own);
		cursor->after = JOB_KEY_BEGIN;
	}
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
	ClaimCursor *taken = scan->taken;

	while (taken != NULL && taken->at < taken->n_hints)
		ReadyPutBack(HintPlace(&taken->hints[taken->at++]));
	ScanEnd(&scan->scan);
}

/*
 * Continue where the last claim of this transaction stopped, and remember the place
 * for the next one.  A job that was passed over is not looked at again.
 */
void
ChooseKeepPlace(ClaimScan *scan, ClaimPlace *place)
{
	if (place->cursors == NULL)
	{
		place->cursors = MemoryContextAlloc(TopTransactionContext, sizeof(ClaimCursor) * Max(scan->n_cursors, 1));
		memcpy(place->cursors, scan->cursors, sizeof(ClaimCursor) * scan->n_cursors);
	}
	scan->cursors = place->cursors;
	scan->context = TopTransactionContext;
}

static bool
Precedes(const JobKey *a, const JobKey *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->run_at != b->run_at)
		return a->run_at < b->run_at;
	return a->job_id < b->job_id;
}

/* Order the cursors so that the one with the first job is at the top of the heap. */
static int
CompareHeads(Datum a, Datum b, void *arg)
{
	ClaimCursor *left = (ClaimCursor *) DatumGetPointer(a);
	ClaimCursor *right = (ClaimCursor *) DatumGetPointer(b);

	if (Precedes(&left->head, &right->head))
		return 1;
	return Precedes(&right->head, &left->head) ? -1 : 0;
}

/* Put the routes of the next rank that have due jobs into the heap.  Returns false if there is no other rank. */
static bool
CollectRank(ClaimScan *scan)
{
	int rank = INT_MAX;

	for (int i = 0; i < scan->n_cursors; i++)
		if (scan->cursors[i].rank >= scan->next_rank)
			rank = Min(rank, scan->cursors[i].rank);
	if (rank == INT_MAX)
		return false;
	for (int i = 0; i < scan->n_cursors; i++)
	{
		ClaimCursor *cursor = &scan->cursors[i];

		if (cursor->rank == rank && CursorHead(scan, cursor, &cursor->head))
			binaryheap_add_unordered(scan->heap, PointerGetDatum(cursor));
	}
	binaryheap_build(scan->heap);
	scan->next_rank = rank + 1;
	return true;
}

/* Return the least key in the heap below its top. */
static JobKey
SecondHead(binaryheap *heap)
{
	JobKey second = JOB_KEY_END;

	for (int i = 1; i <= 2 && i < heap->bh_size; i++)
	{
		ClaimCursor *cursor = (ClaimCursor *) DatumGetPointer(heap->bh_nodes[i]);

		if (Precedes(&cursor->head, &second))
			second = cursor->head;
	}
	return second;
}

/*
 * Return the cursor with the first job of all, with the key of that job and a key
 * before which no other cursor has a job.  Queues come in the order of their ranks.
 * Among the routes of one rank the order is exact, apart from jobs that were added
 * since the scan began.
 *
 * Other processes take jobs, so a key in the heap may be too low.  Only that of the
 * top is made right, so a choice does not look at all routes.
 */
static ClaimCursor *
Choose(ClaimScan *scan, JobKey *key, JobKey *second)
{
	if (scan->heap == NULL)
		scan->heap = binaryheap_allocate(Max(scan->n_cursors, 1), CompareHeads, NULL);
	for (;;)
	{
		ClaimCursor *first;
		JobKey		 was;

		while (binaryheap_empty(scan->heap))
			if (!CollectRank(scan))
				return NULL;
		first = (ClaimCursor *) DatumGetPointer(binaryheap_first(scan->heap));
		was = first->head;
		if (!CursorHead(scan, first, &first->head))
			(void) binaryheap_remove_first(scan->heap);
		else if (Precedes(&was, &first->head))
			binaryheap_replace_first(scan->heap, PointerGetDatum(first));
		else
		{
			*key = first->head;
			*second = SecondHead(scan->heap);
			return first;
		}
	}
}

/*
 * Take hints from the ready list, but only those that precede the first job of the
 * second route.
 */
static void
TakeHints(ClaimScan *scan, ClaimCursor *cursor, const JobKey *key, const JobKey *second)
{
	ReadyHint hints[MAX_AHEAD];
	ReadyKey  bound = READY_END;
	int		  most = Max(Min(scan->wanted, scan->ahead), 1);
	bool	  low = false;
	int		  n;

	scan->taken = NULL;
	if (second->priority == key->priority)
		bound = (ReadyKey){ second->run_at, second->job_id };
	CursorMakeHints(scan, cursor);
	if (cursor->must_fill)
		n = ScanFill(&scan->scan, cursor->route_id, key->priority, scan->now, &bound, most, hints);
	else
	{
		ReadyReserve(most);
		n = ReadyTake(cursor->route_id, key->priority, scan->now, &bound, most, hints, &low);
		ReadyHeld(cursor->route_id, key->priority, hints, n);
	}
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
		cursor->hints[i].key = (JobKey){ key->priority, hints[i].key.run_at, hints[i].key.job_id };
		cursor->hints[i].tid = hints[i].tid;
	}
	cursor->n_hints = n;
	scan->taken = cursor;
	if (low)
		(void) ScanFill(&scan->scan, cursor->route_id, key->priority, scan->now, &bound, 0, NULL);
}

/* Return the cursor with the first hint of all. */
ClaimCursor *
ChooseNext(ClaimScan *scan)
{
	for (;;)
	{
		JobKey		 key;
		JobKey		 second;
		ClaimCursor *first;

		if (scan->taken != NULL && scan->taken->at < scan->taken->n_hints)
			return scan->taken;
		first = Choose(scan, &key, &second);
		if (first == NULL || first->reads)
			return first;
		CHECK_FOR_INTERRUPTS();
		TakeHints(scan, first, &key, &second);
	}
}

/* Mark a route as finished, and return its unused hints to the ready list. */
void
ChooseFinish(ClaimCursor *cursor)
{
	for (int i = cursor->at; i < cursor->n_hints && !cursor->reads; i++)
		ReadyPutBack(HintPlace(&cursor->hints[i]));
	cursor->finished = true;
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
	Store	  jobs;
	ClaimScan scan;
	int		  all = 0;

	StoreOpenRel(&jobs, REL_JOBS);
	ChooseBegin(&scan, &jobs, routes, most, false);
	for (int i = 0; i < scan.n_cursors; i++)
	{
		ClaimCursor *cursor = &scan.cursors[i];

		if (!CountListed(&scan, cursor->route_id, most, &due[i]))
		{
			CursorReadAhead(&scan, cursor);
			due[i] = cursor->n_hints;
			pfree(cursor->hints);
		}
		all += due[i];
	}
	ChooseEnd(&scan);
	StoreClose(&jobs, false);
	*next_due = scan.next_due;
	return all;
}
