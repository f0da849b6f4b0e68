/*
 * key_lane_time.c
 *	  Lanes that wait until a moment, because a rate has no token before it for their value.
 *
 * The waits of a route that have a moment are in a heap by it.  When the moment has passed,
 * the first of the lanes of that wait is let go; whoever looks at the route next does that.
 * The moments are those of ClockSteady(), so a clock that is set does not move them.
 *
 * Of the processes that wait for jobs of the route, one is the watcher of the first moment,
 * and sleeps until then.  The others sleep until they are woken.  If nobody waits, the
 * scheduler watches.  Whoever finds that nobody watches a moment as early as the first one
 * wakes another process: it looks, and becomes the watcher.  A process that ends its wait
 * hands the watch on in the same way.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/ipc.h"

#include "base/clock.h"
#include "ready/key_lane_int.h"
#include "ready/ready_int.h"
#include "shared/shmem.h"
#include "shared/wait.h"
#include "shared/wake.h"

#define MAX_NOTED 64 /* routes that one process watches */

/* The routes that this process has looked at, while it waits, and that have moments. */
static struct
{
	int32 route_id;
	bool  is_watched;
} noted[MAX_NOTED];
static int	n_noted = 0;
static bool looks = false; /* this process waits for jobs, and looks for them */

/* Wake so many processes that wait for a route, or else have the scheduler look. */
void
LaneWakeFor(int32 route_id, int n)
{
	if (WakeWaiters(MyDatabaseId, route_id, n) < n && ShmemMyDatabase() != NULL)
		ShmemWakeScheduler(ShmemMyDatabase());
}

/* moments ---------------------------------------------------------------------- */

#define WAIT_OF(heap_node) pairingheap_container(LaneWait, timed_node, (pairingheap_node *) (heap_node))

/* The first of a pairing heap is the greatest, so that is the one with the least moment. */
static int
CompareUntil(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	int64 left = WAIT_OF(a)->until;
	int64 right = WAIT_OF(b)->until;

	return (left < right) - (left > right);
}

/* Return the first moment of a route. */
int64
LaneFirstMoment(const LaneRoute *route)
{
	return route->timed == NULL ? HELD_NEVER : WAIT_OF(route->timed)->until;
}

/* Let the first lane of a wait go at this moment.  The caller holds the lock. */
void
LaneWaitUntil(LaneWait *wait, int64 until)
{
	pairingheap heap = { .ph_compare = CompareUntil, .ph_root = wait->route->timed };

	if (wait->until != HELD_NEVER)
		pairingheap_remove(&heap, &wait->timed_node);
	wait->until = until;
	if (until != HELD_NEVER)
		pairingheap_add(&heap, &wait->timed_node);
	wait->route->timed = heap.ph_root;
}

/* Has the first moment of a route passed? */
bool
LaneTimeHasPassed(const LaneRoute *route)
{
	return route->timed != NULL && LaneFirstMoment(route) <= ClockSteady();
}

/* Let those lanes of a route go whose moment has passed, and return their number.  The caller holds the lock. */
int
LanePassTime(LaneRoute *route)
{
	int n = 0;

	while (LaneTimeHasPassed(route))
	{
		LaneWait *wait = WAIT_OF(route->timed);

		LaneWaitUntil(wait, HELD_NEVER);
		n += LaneLetNextGo(wait) ? 1 : 0;
	}
	if (n > 0)
		ReadyNoteChange(route->key.route_id);
	return n;
}

/* the watch -------------------------------------------------------------------- */

static LaneDatabase *
Mine(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	return db == NULL ? NULL : &lane_memory->databases[db - taskq_databases];
}

/* Does a waiting process look at the first moment of a route, or sooner? */
static bool
HasWatcher(const LaneRoute *route)
{
	return route->watcher != 0 && route->watched_at <= LaneFirstMoment(route);
}

/* Does nobody look at the first moment of a route, neither a waiting process nor the scheduler?  The caller holds the lock. */
bool
LaneIsUnwatched(const LaneRoute *route)
{
	const LaneDatabase *mine = Mine();

	if (route->timed == NULL || HasWatcher(route))
		return false;
	return mine == NULL || mine->planned > LaneFirstMoment(route) || mine->planned <= ClockSteady();
}

/* This process may watch the route before it sleeps. */
void
LaneNoteRoute(int32 route_id)
{
	if (looks && !LaneIsNoted(route_id) && n_noted < MAX_NOTED)
	{
		noted[n_noted].route_id = route_id;
		noted[n_noted++].is_watched = false;
	}
}

/* Does this process watch the route before it sleeps, or let another process do so? */
bool
LaneIsNoted(int32 route_id)
{
	for (int i = 0; i < n_noted; i++)
		if (noted[i].route_id == route_id)
			return true;
	return false;
}

/* Become the watcher of the routes that were noted and have none.  Returns how long to sleep. */
static long
Watch(long milliseconds)
{
	int64 moment = HELD_NEVER;

	if (n_noted == 0 || ShmemMySlot() == NULL)
		return milliseconds;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n_noted; i++)
	{
		LaneRoute *route = LaneRouteFind(noted[i].route_id);

		if (route == NULL || route->timed == NULL || HasWatcher(route))
			continue;
		route->watcher = ShmemMySlot() - taskq_slots + 1;
		route->watched_at = LaneFirstMoment(route);
		noted[i].is_watched = true;
		moment = Min(moment, route->watched_at);
	}
	LWLockRelease(&lane_memory->lock);
	if (moment == HELD_NEVER)
		return milliseconds;
	return (long) Min((int64) milliseconds, (Max(moment - ClockSteady(), 0) + 999) / 1000);
}

/* The wait has ended.  Let others watch what this process has watched or could watch. */
static void
EndWatch(void)
{
	int32 unwatched[MAX_NOTED];
	int	  n = 0;

	looks = false;
	if (n_noted == 0)
		return;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n_noted; i++)
	{
		LaneRoute *route = LaneRouteFind(noted[i].route_id);

		if (route == NULL)
			continue;
		if (noted[i].is_watched && route->watcher == ShmemMySlot() - taskq_slots + 1)
			route->watcher = 0;
		if (LaneIsUnwatched(route))
			unwatched[n++] = noted[i].route_id;
	}
	LWLockRelease(&lane_memory->lock);
	n_noted = 0;
	for (int i = 0; i < n; i++)
		LaneWakeFor(unwatched[i], 1);
}

static void
AtExit(int code, Datum arg)
{
	EndWatch();
}

/* This process waits for jobs from now on, and is about to look for them. */
static void
BeginWatch(void)
{
	static bool ends_at_exit = false;

	if (!ends_at_exit)
		before_shmem_exit(AtExit, (Datum) 0);
	ends_at_exit = true;
	EndWatch();
	looks = true;
}

const WaitWatch lane_watch = { BeginWatch, Watch, EndWatch };

/* the scheduler ---------------------------------------------------------------- */

/*
 * When must the scheduler look at lanes, as no waiting process does?  By ClockSteady();
 * HELD_NEVER if it need not.  It is woken for an earlier moment.
 */
int64
KeyLanesMoment(void)
{
	LaneDatabase *mine = lane_memory == NULL ? NULL : Mine();
	int64		  moment = HELD_NEVER;
	dlist_iter	  iter;

	if (mine == NULL)
		return HELD_NEVER;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	dlist_foreach (iter, &lane_memory->stopped)
	{
		const LaneRoute *route = dlist_container(LaneRoute, node, iter.cur);

		if (route->key.dboid == MyDatabaseId && !HasWatcher(route))
			moment = Min(moment, LaneFirstMoment(route));
	}
	mine->planned = moment;
	LWLockRelease(&lane_memory->lock);
	return moment;
}

/* Let all lanes of this database go whose moment has passed. */
void
KeyLanesPassTime(void)
{
	dlist_iter iter;

	if (lane_memory == NULL || pg_atomic_read_u32(&lane_memory->n_stopped) == 0)
		return;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	dlist_foreach (iter, &lane_memory->stopped)
	{
		LaneRoute *route = dlist_container(LaneRoute, node, iter.cur);

		if (route->key.dboid == MyDatabaseId)
			(void) LanePassTime(route);
	}
	LWLockRelease(&lane_memory->lock);
}
