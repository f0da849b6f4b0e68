/*
 * end_leases.c
 *	  Ending claims whose leases are over.
 */
#include "taskq.h"

#include "utils/memutils.h"

#include "base/clock.h"
#include "claim/lease.h"
#include "process/end_leases.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "shared/watch.h"

#define MAX_FOUND 10000 /* limit of claims that one look finds */

/*
 * Return when a lease may be over.  Claims that come from a restore are not
 * announced, so all claims are read now and then anyway.
 */
TimestampTz
EndLeasesDue(const WorkPast *past)
{
	uint64 next = pg_atomic_read_u64(&ShmemMyDatabase()->next_lease);

	return Min((TimestampTz) Min(next, (uint64) DT_NOEND), WorkByCare(past));
}

/*
 * End some of the leases that are over, and leave the others to batches.  If a
 * claim commits after next_lease is reset, it moves the next look forward again.
 */
void
EndLeases(WorkResult *result)
{
	TaskqDatabase *db = ShmemMyDatabase();
	LeaseSweep	   sweep;

	(void) WatchNote();
	pg_atomic_write_u64(&db->next_lease, (uint64) DT_NOEND);
	pg_memory_barrier();
	LeaseFindOverdue(&sweep, MAX_FOUND);
	if (sweep.n > 0)
		result->more = LeaseEndSome(&sweep);

	/* there may be many more: let batches end some first */
	if (sweep.n == MAX_FOUND)
		sweep.next = ClockNow() + USECS_PER_SEC;
	(void) WakeBringForward(&db->next_lease, sweep.next);
}

/*
 * End some more leases; returns false if none are left.  The list is kept between
 * batches.
 */
bool
EndLeasesBatch(void)
{
	static MemoryContext context = NULL;
	static LeaseSweep	 sweep = { 0 };
	MemoryContext		 old;
	int					 first;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "taskq leases", ALLOCSET_DEFAULT_SIZES);
	if (sweep.done == sweep.n)
	{
		MemoryContextReset(context);
		sweep.n = sweep.done = 0;
		old = MemoryContextSwitchTo(context);
		LeaseFindOverdue(&sweep, MAX_FOUND);
		MemoryContextSwitchTo(old);
	}
	first = sweep.done;
	if (sweep.n == 0)
		return false;
	return LeaseEndSome(&sweep) || (first < sweep.done && sweep.n == MAX_FOUND);
}
