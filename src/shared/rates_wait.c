/*
 * rates_wait.c
 *	  Waking those that wait for a rate or a quota.
 *
 * A rate in memory lets the next job start at a moment that is known.  One of the
 * processes that wait for it is its watcher: it sleeps until then.  The others sleep until
 * they are woken.  A watcher that ends its wait, for whatever reason, wakes another one,
 * which looks, and becomes the watcher if it finds no token.  If nobody waits, the
 * scheduler looks at the moment (due_jobs.c), and starts a worker if a pool has room.  So
 * each moment wakes one process.
 *
 * A limit with portions has no watcher: the scheduler wakes who waits when it has stored one.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "shared/rates_int.h"
#include "shared/shmem.h"
#include "shared/wake.h"

#define MAX_REFUSED 16

/* What the last look was refused, and which of that this process watches. */
typedef struct Refused
{
	RateEntry *entry;
	uint64	   number; /* of the entry */
	int64	   weight;
	bool	   is_watched;
} Refused;

static Refused refused[MAX_REFUSED];
static int	   n_refused = 0;
static bool	   looks = false;	/* this process waits for jobs, and looks for them */
static bool	   watches = false; /* it watches a limit */

/* This process waits for jobs from now on, and is about to look for them. */
void
RatesLook(void)
{
	RatesEndWatch();
	looks = true;
}

/* Note that a rate holds a job back.  What finds no room here is left to the scheduler. */
void
RatesNoteRefused(RateEntry *entry, int64 weight)
{
	if (!looks)
		return;
	for (int i = 0; i < n_refused; i++)
		if (refused[i].entry == entry && refused[i].number == entry->number)
		{
			refused[i].weight = Min(refused[i].weight, weight);
			return;
		}
	if (n_refused < MAX_REFUSED)
		refused[n_refused++] = (Refused){ entry, entry->number, weight, false };
}

/* Return the entry that was refused, or NULL if it is not there any more. */
static RateEntry *
EntryOf(const Refused *one)
{
	return one->entry->number == one->number ? one->entry : NULL;
}

/*
 * When may a job start that waits for a value?  0: now, as far as the value is concerned;
 * RATES_NEVER: not before it is freed.  *reserve is set if the caller must call
 * RatesAskForPortion() after it has released its locks.
 */
int64
RatesRoomAt(const HeldWait *wait, bool *reserve)
{
	RateKey	   key = RateKeyOf(wait->value.relid, wait->value.limit_id, wait->value.value);
	RateEntry *entry;
	int64	   now = ClockSteady();
	int64	   at = 0;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	entry = wait->value.kind == HELD_MEMORY ? NULL : RatesFind(&key);
	if (wait->value.kind == HELD_MEMORY)
		at = RatesFull(&key) ? RATES_NEVER : 0;
	else if (entry != NULL && ((entry->token > 0 && wait->weight > entry->burst) || (entry->quota > 0 && wait->weight > entry->quota)))
		at = RATES_NEVER;
	else if (entry != NULL && !RateReserves(entry))
	{
		RateAdvance(entry, now);
		at = RateTokensAt(entry, wait->weight, now);
	}
	else if (entry != NULL && (!entry->known || entry->portion < wait->weight))
	{
		entry->wanted = Max(entry->wanted, wait->weight);
		RateWant(entry);
		*reserve |= now >= entry->retry_at;
		at = RATES_NEVER;
	}
	LWLockRelease(&rates->lock);
	return at <= now ? 0 : at;
}

/*
 * A claim that reads lanes from the index may wait for a value of a limit.  Nobody lets its
 * lane go, so it waits as for a limit that is for all jobs of the route.  "wait" may be NULL.
 */
void
RatesNoteWait(int32 route_id, const HeldWait *wait)
{
	RateKey	   key;
	RateEntry *entry;

	if (wait == NULL || wait->value.kind != HELD_RATE)
		return;
	key = RateKeyOf(wait->value.relid, wait->value.limit_id, wait->value.value);
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	entry = RatesFind(&key);
	if (entry != NULL)
	{
		RatesNoteHeldUp(entry, route_id);
		if (!RateReserves(entry))
			RatesNoteRefused(entry, wait->weight);
	}
	LWLockRelease(&rates->lock);
}

/*
 * Watch what the last look was refused, unless others do, and not for a heavier job, which
 * would be later.  Returns how long to sleep, at
 * most "milliseconds"; 0 if it is time to look again.
 */
long
RatesWatch(long milliseconds)
{
	int64 now;
	int64 moment = RATES_NEVER;

	if (n_refused == 0 || ShmemMySlot() == NULL)
		return milliseconds;
	now = ClockSteady();
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n_refused; i++)
	{
		RateEntry *entry = EntryOf(&refused[i]);

		if (entry == NULL || entry->token == 0 || (entry->watcher != NOBODY && entry->watched <= refused[i].weight))
			continue;
		entry->watcher = ShmemMySlot() - taskq_slots;
		entry->watched = refused[i].weight;
		refused[i].is_watched = watches = true;
		RateAdvance(entry, now);
		moment = Min(moment, RateTokensAt(entry, refused[i].weight, now));
	}
	LWLockRelease(&rates->lock);
	if (moment == RATES_NEVER)
		return milliseconds;
	return (long) Min((int64) milliseconds, (Max(moment - now, 0) + 999) / 1000);
}

/* The wait has ended.  Let others watch what this process has watched. */
void
RatesEndWatch(void)
{
	RateWake wake = { 0 };

	looks = false;
	if (!watches)
	{
		n_refused = 0;
		return;
	}
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n_refused; i++)
	{
		RateEntry *entry = refused[i].is_watched ? EntryOf(&refused[i]) : NULL;

		refused[i].is_watched = false;
		if (entry == NULL || entry->watcher != ShmemMySlot() - taskq_slots)
			continue;
		entry->watcher = NOBODY;
		RatesCollect(entry, &wake);
	}
	LWLockRelease(&rates->lock);
	watches = false;
	n_refused = 0;
	RatesWake(&wake, 1);
}

/* Does a process watch for any job the limit that was the reason of a refusal? */
bool
RatesWatched(Oid relid, const RatesRefusal *refusal)
{
	RateKey			 key = RateKeyOf(relid, refusal->limit->limit_id, refusal->limit->value);
	const RateEntry *entry;
	bool			 is_watched;

	LWLockAcquire(&rates->lock, LW_SHARED);
	entry = RatesFind(&key);
	is_watched = entry != NULL && entry->watcher != NOBODY && entry->watched == 1;
	LWLockRelease(&rates->lock);
	return is_watched;
}

/* Collect those that wait for a limit. */
void
RatesCollect(RateEntry *entry, RateWake *wake)
{
	if (entry->n_held_up > MAX_HELD_UP)
	{
		wake->all = true;
		entry->n_held_up = 0;
	}
	if (wake->n + entry->n_held_up > lengthof(wake->routes))
	{
		wake->all = true;
		return;
	}
	for (int i = 0; i < entry->n_held_up; i++)
	{
		wake->routes[wake->n].entry = entry;
		wake->routes[wake->n].number = entry->number;
		wake->routes[wake->n].noted = entry->noted;
		wake->routes[wake->n++].route_id = entry->held_up[i];
	}
}

/*
 * Nobody waits for jobs of the route.  Forget that it waits for the limit, unless a route
 * was noted since then: somebody may have begun to wait.
 */
static void
ForgetHeldUp(RateEntry *entry, uint64 number, uint32 noted, int32 route_id)
{
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	if (entry->number == number && entry->noted == noted && entry->n_held_up <= MAX_HELD_UP)
		for (int i = 0; i < entry->n_held_up; i++)
			if (entry->held_up[i] == route_id)
			{
				entry->held_up[i] = entry->held_up[--entry->n_held_up];
				break;
			}
	LWLockRelease(&rates->lock);
}

/* Wake up to "most" processes for each of the routes, or else have the scheduler look. */
void
RatesWake(const RateWake *wake, int most)
{
	bool looks = wake->all;

	if (wake->all)
		WakeAllWaiters(MyDatabaseId);
	for (int i = 0; i < wake->n; i++)
	{
		if (WakeWaiters(MyDatabaseId, wake->routes[i].route_id, most) > 0)
			continue;
		ForgetHeldUp(wake->routes[i].entry, wake->routes[i].number, wake->routes[i].noted, wake->routes[i].route_id);
		looks = true;
	}
	if (looks && ShmemMyDatabase() != NULL)
		ShmemWakeScheduler(ShmemMyDatabase());
}
