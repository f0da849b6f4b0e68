/*
 * heads.c
 *	  The first due jobs of a claim's routes, in the order in which it takes them.
 *
 * The cursors of all routes with due jobs are in a heap: first by the ranks of their
 * queues, then by their first jobs.  To fill it, each route is looked at.  A worker that
 * claims again keeps the heap (ClaimPlace), and looks only at these routes again:
 *
 * - those at which its last claim has looked, as it may have taken their first jobs;
 * - those whose first job may come earlier than before, by what other processes have
 *	 done (ReadyChanges());
 * - those in which jobs have become due meanwhile;
 * - those whose jobs it must read from the index, and those with lanes that wait until a
 *	 moment.
 *
 * Other processes also take jobs, so the key of another route may be too low.  That is
 * made right when the route comes to the top.
 *
 * heads_order.c has the order.
 */
#include "taskq.h"

#include "utils/memutils.h"

#include "claim/heads_int.h"
#include "ready/ready.h"

#define MAX_CHANGES 256 /* if there are more, it is as fast to look at all routes */

#ifdef TASKQ_TESTING
static int64 n_looks = 0;

/* Return at how many routes the claims of this process have looked to bring their heaps up to date. */
int64
HeadsLooks(void)
{
	return n_looks;
}
#endif

/* looking -------------------------------------------------------------------- */

static void
Touch(ClaimHeads *heads, ClaimCursor *cursor)
{
	if (!cursor->touched)
		heads->touched[heads->n_touched++] = cursor;
	cursor->touched = true;
}

/* Let a cursor begin with the first job of its route. */
static void
Restart(ClaimHeads *heads, ClaimCursor *cursor)
{
	cursor->reads = CursorMustRead(cursor->route_id, heads->sees_own);
	cursor->finished = cursor->given_up = false;
	cursor->reader = NULL;
	cursor->reader_space = NULL; /* it was in the memory of an earlier claim */
	cursor->has_lane_hint = false;
	cursor->must_fill = false;
	cursor->in_vain = 0;
	cursor->after = JOB_KEY_BEGIN;
	cursor->hints = NULL;
	cursor->n_hints = cursor->at = 0;
}

/* Look at the first job of a route. */
static void
Look(ClaimScan *scan, ClaimCursor *cursor)
{
	ClaimHeads *heads = scan->heads;

#ifdef TASKQ_TESTING
	n_looks++;
#endif
	if (heads->restarts)
		Restart(heads, cursor);
	cursor->changes_at = DT_NOEND;
	cursor->timed = false;
	if (CursorHead(scan, cursor))
		HeadsPut(heads, cursor);
	else
		HeadsRemove(heads, cursor);
	heads->changes_at[cursor - heads->cursors] = cursor->changes_at;
	heads->next_change = Min(heads->next_change, cursor->changes_at);
	if (cursor->reads || cursor->reader != NULL || cursor->timed)
		Touch(heads, cursor);
}

static void
LookAtAll(ClaimScan *scan)
{
	ClaimHeads *heads = scan->heads;

	heads->next_change = DT_NOEND;
	for (int i = 0; i < heads->n; i++)
		Look(scan, &heads->cursors[i]);
	heads->filled = true;
}

/* Look at the routes in which jobs may have become due. */
static void
LookAtDue(ClaimScan *scan)
{
	ClaimHeads *heads = scan->heads;

	if (heads->next_change > scan->now)
		return;
	heads->next_change = DT_NOEND;
	for (int i = 0; i < heads->n; i++)
	{
		if (heads->changes_at[i] <= scan->now)
			Look(scan, &heads->cursors[i]);
		heads->next_change = Min(heads->next_change, heads->changes_at[i]);
	}
}

static void
LookAtTouched(ClaimScan *scan)
{
	ClaimHeads *heads = scan->heads;
	int			n = heads->n_touched;

	/* those that are touched again go to places that were read already */
	heads->n_touched = 0;
	for (int i = 0; i < n; i++)
	{
		ClaimCursor *cursor = heads->touched[i];

		cursor->touched = false;
		Look(scan, cursor);
	}
}

static int
CompareRoutes(const void *a, const void *b)
{
	int32 left = (*(ClaimCursor *const *) a)->route_id;
	int32 right = (*(ClaimCursor *const *) b)->route_id;

	return (left > right) - (left < right);
}

static void
LookAtRoutes(ClaimScan *scan, const int32 *route_ids, int n)
{
	for (int i = 0; i < n; i++)
	{
		ClaimCursor	  key = { .route_id = route_ids[i] };
		ClaimCursor	 *wanted = &key;
		ClaimCursor **found = bsearch(&wanted, scan->heads->by_route, scan->heads->n, sizeof(ClaimCursor *), CompareRoutes);

		if (found != NULL)
			Look(scan, *found);
	}
}

/* Look at the routes whose first jobs may not be those in the heap, or may be behind them. */
static void
Update(ClaimScan *scan)
{
	ClaimHeads *heads = scan->heads;
	int32		changed[MAX_CHANGES];
	int			n = -1;

	if (ReadyInUse())
		n = ReadyChanges(&heads->seen, changed, MAX_CHANGES);
	if (n < 0 || !heads->filled)
	{
		LookAtAll(scan);
		return;
	}
	LookAtTouched(scan);
	LookAtRoutes(scan, changed, n);
	LookAtDue(scan);
}

/* beginning and end ---------------------------------------------------------- */

static ClaimHeads *
Make(const RouteSet *routes)
{
	ClaimHeads *heads = palloc0(sizeof(ClaimHeads));
	int			n = Max(routes->n, 1);

	heads->n = routes->n;
	heads->cursors = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(ClaimCursor) * n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	heads->by_route = palloc(sizeof(ClaimCursor *) * n);
	heads->touched = palloc(sizeof(ClaimCursor *) * n);
	heads->changes_at = palloc(sizeof(TimestampTz) * n);
	for (int i = 0; i < routes->n; i++)
	{
		ClaimCursor *cursor = &heads->cursors[i];

		cursor->route_id = routes->ids[i];
		cursor->rank = routes->ranks[i];
		cursor->age_every = routes->ages == NULL ? 0 : routes->ages[i];
		cursor->heap_at = NOT_IN_HEAP;
		heads->by_route[i] = cursor;
	}
	qsort(heads->by_route, heads->n, sizeof(ClaimCursor *), CompareRoutes);
	HeadsMakeQueues(heads, routes);
	return heads;
}

/*
 * Begin to look at the routes.  If "place" is not NULL, it keeps what was found for the
 * next claim with the same routes.  While a claim uses it, the place is empty, and it
 * stays so if an error ends the claim.
 */
void
HeadsBegin(ClaimScan *scan, const RouteSet *routes, ClaimPlace *place, bool sees_own)
{
	MemoryContext old = CurrentMemoryContext;
	ClaimHeads	 *heads = place == NULL ? NULL : place->heads;

	if (heads == NULL)
	{
		if (place != NULL && place->context == NULL)
			place->context = AllocSetContextCreate(place->parent, "taskq claim", ALLOCSET_DEFAULT_SIZES);
		else if (place != NULL)
			MemoryContextReset(place->context);
		if (place != NULL)
			MemoryContextSwitchTo(place->context);
		heads = Make(routes);
		MemoryContextSwitchTo(old);
		heads->restarts = place == NULL || place->restarts;
		heads->sees_own = sees_own;
		for (int i = 0; i < heads->n; i++)
			Restart(heads, &heads->cursors[i]);
	}
	Assert(heads->n == routes->n);
	if (place != NULL)
		place->heads = NULL;
	scan->heads = heads;
	scan->place = place;
	scan->context = heads->restarts ? CurrentMemoryContext : place->context;
	scan->updated = false;
	scan->heads_see_own = heads->sees_own;
}

void
HeadsEnd(ClaimScan *scan)
{
	if (scan->place != NULL)
		scan->place->heads = scan->heads;
	scan->heads = NULL;
}

/*
 * Return the cursor with the first job of all, and up to where its jobs precede those of
 * others; or NULL if no job is due.  Queues come in the order of their ranks.  Among the
 * routes of one rank the order is exact, apart from jobs that were added since the claim
 * began.
 */
ClaimCursor *
HeadsFirst(ClaimScan *scan, HeadsBound *bound)
{
	ClaimHeads *heads = scan->heads;
	HeadsQueue *queue;

	if (!scan->updated)
		Update(scan);
	scan->updated = true;
	while ((queue = HeadsFirstQueue(heads)) != NULL)
	{
		ClaimCursor *first = queue->heap[0];
		JobKey		 was = first->head;
		uint64		 tag = first->tag;

		if (HeadsQueueIsLate(heads, queue))
			continue;
		Touch(heads, first);
		if (!CursorHead(scan, first))
			HeadsRemove(heads, first);
		else if (HeadsIsLater(heads, first, tag, &was))
			HeadsSift(heads, first, 0);
		else
		{
			scan->queue_tag = queue->tag;
			HeadsFindBound(heads, queue, bound);
			return first;
		}
	}
	return NULL;
}

/* Return the cursors of a claim, one for each of its routes, in their order. */
ClaimCursor *
HeadsCursors(ClaimScan *scan)
{
	return scan->heads->cursors;
}
