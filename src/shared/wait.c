/*
 * wait.c
 *	  Sleeping until there is something to claim.
 *
 * This order loses no wake-up: WaitBegin() says what the process waits for, the
 * process looks for a job, and WaitSleep() sleeps.  A commit after the look finds
 * the waiting process; the look finds the jobs of a commit before it.  After
 * WaitEnd() the process looks once more, because it may have been woken for a job.
 *
 * A worker that has reached a limit, such as its max_concurrent_jobs, waits for that
 * limit instead.  It could not take a job for which it is woken, and nobody else
 * would be woken for that job.
 *
 * A process that sleeps for a client watches the client's connection.  A job that
 * is claimed for a client that has gone would be stuck until its lease ends.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"

#include "base/compat.h"
#include "shared/interest.h"
#include "shared/rates.h"
#include "shared/shmem.h"
#include "shared/wait.h"

/* Without preload nobody wakes a waiting process, so it looks once a second. */
#define BLIND_LOOK 1000

static const WaitWatch *also_watch = NULL; /* how the lanes of jobs with the same keys are watched */
static bool				waits_for_events = false;

/* Have processes that wait watch for other moments than those of rates, too. */
void
WaitAlsoWatch(const WaitWatch *watch)
{
	also_watch = watch;
}

static void
SetLimit(TaskqSlot *slot, uint64 limit_key)
{
	bool was_at_limit = slot->limit_key != 0;

	slot->limit_key = limit_key;
	if (limit_key != 0 && !was_at_limit)
		pg_atomic_fetch_add_u32(&taskq_shared->n_at_limit, 1);
	else if (limit_key == 0 && was_at_limit)
		pg_atomic_fetch_sub_u32(&taskq_shared->n_at_limit, 1);
}

/*
 * Begin to wait.  Commits of jobs of these routes wake this process, and so does a
 * change of the registration of the external worker (0 if there is none).  Unless
 * limit_key is 0, WakeForLimit() wakes it instead of new jobs.
 */
void
WaitBegin(const RouteSet *routes, uint64 worker_key, uint64 limit_key)
{
	TaskqSlot *slot = ShmemMySlot();

	if (slot == NULL)
		return;
	if (limit_key == 0)
		InterestBegin(routes);
	else
		InterestEnd();
	slot->worker_key = worker_key;
	SetLimit(slot, limit_key);
	RatesLook();
	if (also_watch != NULL)
		also_watch->begin();
	pg_write_barrier();
	if (pg_atomic_exchange_u32(&slot->waiting, WAITING) == NOT_WAITING)
		pg_atomic_fetch_add_u32(&taskq_shared->n_waiting, 1);

	/* Others must see that we wait before we look for a job. */
	pg_memory_barrier();
}

/* Can we notice the end of the client's connection without reading from it? */
static bool
WatchesClient(void)
{
	return MyProcPort != NULL && FeBeWaitSet != NULL && WaitEventSetCanReportClosed();
}

/* End the session at the next check for interrupts, as client_connection_check_interval does. */
static void
ClientHasGone(void)
{
	ClientConnectionLost = true;
	InterruptPending = true;
}

/* End the session if its client has gone. */
void
WaitCheckClient(void)
{
	if (WatchesClient() && !pq_check_connection())
		ClientHasGone();
	CHECK_FOR_INTERRUPTS();
}

/* Have we been woken since we began to wait?  The latch may have been reset since. */
static bool
IsWoken(void)
{
	TaskqSlot *slot = ShmemMySlot();

	if (slot == NULL)
		return false;
	return pg_atomic_read_u32(&slot->waiting) == WOKEN ||
		   (waits_for_events && pg_atomic_read_u32(&slot->reads_events) == 0);
}

/* Sleep until the latch is set, the time is over, or the client has gone. */
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

/*
 * Sleep until we are woken or interrupted, the time is over, or the client has gone.  If the
 * last look has found jobs that only a rate holds back, this process may be the one that
 * wakes up when the next of them may start.
 */
void
WaitSleep(long milliseconds)
{
	static uint32 event = 0;
	uint32		  wait_event = WaitEvent_compat(&event, "TaskqWaitForJob");
	long		  most = ShmemPresent() ? milliseconds : Min(milliseconds, BLIND_LOOK);

	if (IsWoken())
		return;
	most = RatesWatch(most);
	if (also_watch != NULL)
		most = also_watch->sleep(most);
	if (most == 0)
		return;
	if (WatchesClient())
		SleepForClient(most, wait_event);
	else
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, most, wait_event);
	ResetLatch(MyLatch);
}

/* End waiting.  Returns true if we have been woken. */
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
	InterestEnd();
	SetLimit(slot, 0);
	RatesEndWatch();
	if (also_watch != NULL)
		also_watch->end();
	return was == WOKEN;
}

/*
 * End waiting after a job was found, or for good.  If we have been woken, it may
 * have been for another job, so the scheduler must find somebody who takes it.  The
 * same is true if the wait has failed: we may have been woken for a job that we have
 * not looked at.
 */
void
WaitEndOfClaim(bool failed)
{
	if ((WaitEnd() || failed) && ShmemMyDatabase() != NULL)
		ShmemWakeScheduler(ShmemMyDatabase());
}

/* Begin to wait for events: transactions that have written events wake this process. */
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
