/*
 * wait.c
 *	  Sleeping until a job of one's routes is committed, or a permit is free.
 *
 * The order that loses no wake-up: WaitBegin() says what one waits for, then
 * one looks, then WaitSleep().  Whoever commits a job after the look finds the
 * waiter; who committed before is found by the look.  After WaitEnd() one looks
 * once more, as a job may have been promised meanwhile.
 *
 * A worker at its limit waits for the end of one of its runs instead: a job that
 * was promised to it would be one that nobody else is told of.
 *
 * Who sleeps for a client watches its connection: what would be taken for one
 * that has gone would be lost until a lease is over.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"

#include "base/compat.h"
#include "shared/shmem.h"
#include "shared/wait.h"

/* Without preload nobody wakes anybody: look once a second. */
#define BLIND_LOOK 1000

static bool waits_for_events = false;

static void
SetAtLimit(TaskqSlot *slot, bool at_limit)
{
	if (slot->at_limit == at_limit)
		return;
	slot->at_limit = at_limit;
	if (at_limit)
		pg_atomic_fetch_add_u32(&taskq_shared->n_at_limit, 1);
	else
		pg_atomic_fetch_sub_u32(&taskq_shared->n_at_limit, 1);
}

/*
 * From now on, what changes of this external worker (0: of none) wakes this
 * process, and commits of jobs of these routes do; or, while the worker is at its
 * limit, not these, but the end of one of its runs.
 */
void
WaitBegin(const RouteSet *routes, uint64 worker_key, bool at_limit)
{
	TaskqSlot *slot = ShmemMySlot();

	if (slot == NULL)
		return;
	memset(slot->interest, 0, sizeof(slot->interest));
	for (int i = 0; i < routes->n && !at_limit; i++)
		slot->interest[(routes->ids[i] / 64) % INTEREST_WORDS] |= UINT64CONST(1) << (routes->ids[i] % 64);
	slot->worker_key = worker_key;
	SetAtLimit(slot, at_limit);
	pg_write_barrier();
	if (pg_atomic_exchange_u32(&slot->waiting, WAITING) == NOT_WAITING)
		pg_atomic_fetch_add_u32(&taskq_shared->n_waiting, 1);

	/* the look that follows must not be done before others can see us */
	pg_memory_barrier();
}

/* Can the end of the client's connection be seen without reading from it? */
static bool
WatchesClient(void)
{
	return MyProcPort != NULL && FeBeWaitSet != NULL && WaitEventSetCanReportClosed();
}

/* As client_connection_check_interval has it: the session ends at the next check for interrupts. */
static void
ClientHasGone(void)
{
	ClientConnectionLost = true;
	InterruptPending = true;
}

/* End the session if nobody is there any more to be given what it would take. */
void
WaitCheckClient(void)
{
	if (WatchesClient() && !pq_check_connection())
		ClientHasGone();
	CHECK_FOR_INTERRUPTS();
}

/* Has a wake-up come since we said that we wait?  Its latch may have been reset. */
static bool
IsWoken(void)
{
	TaskqSlot *slot = ShmemMySlot();

	if (slot == NULL)
		return false;
	return pg_atomic_read_u32(&slot->waiting) == WOKEN ||
		   (waits_for_events && pg_atomic_read_u32(&slot->reads_events) == 0);
}

/* Sleep until the latch is set, the time is over or the client has gone. */
static void
SleepForClient(long milliseconds, uint32 wait_event)
{
	WaitEvent events[CLIENT_EVENTS_COMPAT];
	int		  n;

	ModifyWaitEvent(FeBeWaitSet, CLIENT_SOCKET_POS_COMPAT, WL_SOCKET_CLOSED, NULL);
	n = WaitEventSetWait(FeBeWaitSet, milliseconds, events, lengthof(events), wait_event);
	for (int i = 0; i < n; i++)
	{
		if (events[i].events & WL_POSTMASTER_DEATH)
			proc_exit(1);
		if (events[i].events & WL_SOCKET_CLOSED)
			ClientHasGone();
	}
}

/* Sleep until woken, interrupted or the time is over; or until the client has gone. */
void
WaitSleep(long milliseconds)
{
	static uint32 event = 0;
	uint32		  wait_event = WaitEvent_compat(&event, "TaskqWaitForJob");
	long		  most = ShmemPresent() ? milliseconds : Min(milliseconds, BLIND_LOOK);

	if (IsWoken())
		return;
	if (WatchesClient())
		SleepForClient(most, wait_event);
	else
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, most, wait_event);
	ResetLatch(MyLatch);
}

/* Wait no longer; was a job promised to us meanwhile? */
bool
WaitEnd(void)
{
	TaskqSlot *slot = ShmemMySlot();
	uint32	   was;

	if (slot == NULL)
		return false;
	was = pg_atomic_exchange_u32(&slot->waiting, NOT_WAITING);
	if (was != NOT_WAITING)
		pg_atomic_fetch_sub_u32(&taskq_shared->n_waiting, 1);
	SetAtLimit(slot, false);
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
	TaskqSlot *slot = ShmemMySlot();

	if (slot != NULL && pg_atomic_exchange_u32(&slot->reads_events, 1) == 0)
		pg_atomic_fetch_add_u32(&taskq_shared->n_event_readers, 1);
	waits_for_events = true;
	pg_memory_barrier();
}

void
WaitForEventsEnd(void)
{
	TaskqSlot *slot = ShmemMySlot();

	waits_for_events = false;
	if (slot != NULL && pg_atomic_exchange_u32(&slot->reads_events, 0) != 0)
		pg_atomic_fetch_sub_u32(&taskq_shared->n_event_readers, 1);
}
