/*
 * wait.c
 *	  Sleeping until a job of one's routes is committed.
 *
 * The order that loses no wake-up: WaitBegin() says what one waits for, then
 * one looks, then WaitSleep().  Whoever commits a job after the look finds the
 * waiter; who committed before is found by the look.  After WaitEnd() one looks
 * once more, as a job may have been promised meanwhile.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/latch.h"

#include "compat.h"
#include "shmem.h"
#include "wait.h"

/* Without preload nobody wakes anybody: look once a second. */
#define BLIND_LOOK 1000

/* From now on, commits of jobs of these routes wake this process. */
void
WaitBegin(const RouteSet *routes)
{
	TaskqSlot  *slot = ShmemMySlot();

	if (slot == NULL)
		return;
	memset(slot->interest, 0, sizeof(slot->interest));
	for (int i = 0; i < routes->n; i++)
		slot->interest[(routes->ids[i] / 64) % INTEREST_WORDS] |= UINT64CONST(1) << (routes->ids[i] % 64);
	pg_write_barrier();
	if (pg_atomic_exchange_u32(&slot->waiting, WAITING) == NOT_WAITING)
		pg_atomic_fetch_add_u32(&taskq_shared->n_waiting, 1);

	/* the look that follows must not be done before others can see us */
	pg_memory_barrier();
}

/* Sleep until woken, interrupted or the time is over. */
void
WaitSleep(long milliseconds)
{
	static uint32 event = 0;
	long		most = ShmemPresent() ? milliseconds : Min(milliseconds, BLIND_LOOK);

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, most,
					 WaitEvent_compat(&event, "TaskqWaitForJob"));
	ResetLatch(MyLatch);
}

/* Wait no longer; was a job promised to us meanwhile? */
bool
WaitEnd(void)
{
	TaskqSlot  *slot = ShmemMySlot();
	uint32		was;

	if (slot == NULL)
		return false;
	was = pg_atomic_exchange_u32(&slot->waiting, NOT_WAITING);
	if (was != NOT_WAITING)
		pg_atomic_fetch_sub_u32(&taskq_shared->n_waiting, 1);
	return was == WOKEN;
}

/*
 * Wait no longer because a look has found something, or for good.  A job that
 * was promised to us meanwhile may be another one: have the scheduler see that
 * somebody takes it.
 */
void
WaitEndOfClaim(void)
{
	if (WaitEnd() && ShmemMyDatabase() != NULL)
		ShmemWakeScheduler(ShmemMyDatabase());
}

/* From now on, transactions that have written events wake this process. */
void
WaitForEvents(void)
{
	TaskqSlot  *slot = ShmemMySlot();

	if (slot != NULL && pg_atomic_exchange_u32(&slot->reads_events, 1) == 0)
		pg_atomic_fetch_add_u32(&taskq_shared->n_event_readers, 1);
	pg_memory_barrier();
}

void
WaitForEventsEnd(void)
{
	TaskqSlot  *slot = ShmemMySlot();

	if (slot != NULL && pg_atomic_exchange_u32(&slot->reads_events, 0) != 0)
		pg_atomic_fetch_sub_u32(&taskq_shared->n_event_readers, 1);
}
