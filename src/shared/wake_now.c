/*
 * wake_now.c
 *	  Waking other processes at once.
 *
 * The commit callback of wake.c calls these functions, so they allocate no memory
 * and cannot fail.
 */
#include "taskq.h"

#include <signal.h>

#include "miscadmin.h"

#include "base/clock.h"
#include "shared/shmem.h"
#include "shared/wake.h"

/* Wake a waiting process.  Returns false if somebody else has woken it. */
static bool
WakeSlot(TaskqSlot *slot)
{
	uint32 expected = WAITING;
	Latch *latch = slot->latch;

	if (latch == NULL || !pg_atomic_compare_exchange_u32(&slot->waiting, &expected, WOKEN))
		return false;
	SetLatch(latch);
	return true;
}

/* Wake up to n processes that wait for jobs of a route; return how many were woken. */
int
WakeWaiters(Oid dboid, int32 route_id, int n)
{
	int	   word = (route_id / 64) % INTEREST_WORDS;
	uint64 bit = UINT64CONST(1) << (route_id % 64);
	int	   woken = 0;

	if (pg_atomic_read_u32(&taskq_shared->n_waiting) == 0)
		return 0;
	for (int i = 0; i < taskq_shared->n_slots && woken < n; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		if (pg_atomic_read_u32(&slot->waiting) == WAITING && slot->dboid == dboid &&
			(slot->interest[word] & bit) != 0 && WakeSlot(slot))
			woken++;
	}
	return woken;
}

/* Wake every waiting process of a database. */
void
WakeAllWaiters(Oid dboid)
{
	for (int i = 0; i < taskq_shared->n_slots; i++)
		if (pg_atomic_read_u32(&taskq_slots[i].waiting) == WAITING && taskq_slots[i].dboid == dboid)
			WakeSlot(&taskq_slots[i]);
}

/* Wake the processes that wait in claims of an external worker. */
void
WakeForWorker(uint64 worker_key)
{
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		if (pg_atomic_read_u32(&slot->waiting) == WAITING && slot->dboid == MyDatabaseId &&
			slot->worker_key == worker_key)
			WakeSlot(slot);
	}
}

/* Wake the processes that wait for a limit, because it may allow another job. */
void
WakeForLimit(uint64 limit_key)
{
	if (!ShmemPresent())
		return;
	pg_memory_barrier();
	if (pg_atomic_read_u32(&taskq_shared->n_at_limit) == 0)
		return;
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		if (pg_atomic_read_u32(&slot->waiting) == WAITING && slot->dboid == MyDatabaseId &&
			slot->limit_key == limit_key)
			WakeSlot(slot);
	}
}

/* Wake every process that waits for events. */
void
WakeEventReaders(void)
{
	if (pg_atomic_read_u32(&taskq_shared->n_event_readers) == 0)
		return;
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];
		Latch	  *latch = slot->latch;

		if (pg_atomic_read_u32(&slot->reads_events) == 0 || slot->dboid != MyDatabaseId || latch == NULL)
			continue;
		if (pg_atomic_exchange_u32(&slot->reads_events, 0) != 0)
		{
			pg_atomic_fetch_sub_u32(&taskq_shared->n_event_readers, 1);
			SetLatch(latch);
		}
	}
}

/* Set a moment in shared memory to an earlier one.  Returns false if it is not earlier. */
bool
WakeBringForward(pg_atomic_uint64 *place, TimestampTz moment)
{
	uint64 next = pg_atomic_read_u64(place);

	while ((uint64) moment < next)
		if (pg_atomic_compare_exchange_u64(place, &next, (uint64) moment))
			return true;
	return false;
}

/*
 * Interrupt the worker that runs a job.  The slot is locked while its job and epoch
 * are compared, so the interrupt cannot reach the worker's next job.
 */
void
WakeCancelledRun(Oid dboid, int64 job_id)
{
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		if (!slot->worker || slot->dboid != dboid)
			continue;
		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		if (slot->worker && slot->job_id == job_id)
		{
			slot->cancel_epoch = slot->epoch;
			slot->cancelled_at = slot->interrupted_at = ClockNow();
			if (slot->interruptible)
				kill(slot->pid, SIGINT);
		}
		LWLockRelease(&slot->lock);
	}
}

void
WakeUnblockNow(Oid dboid, int count)
{
	TaskqDatabase *db = ShmemDatabase(dboid, false);

	if (db == NULL)
		return;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->blocked = Max(db->blocked - count, 0);
	db->probe = true;
	LWLockRelease(&taskq_shared->lock);
	ShmemWakeLauncher();
}

void
WakeLauncherNow(Oid dboid)
{
	/* The entry may be missing: an earlier probe that did not see this transaction removes it. */
	TaskqDatabase *db = ShmemDatabase(dboid, true);

	if (db == NULL)
		return;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->probe = true;
	LWLockRelease(&taskq_shared->lock);
	ShmemWakeLauncher();
}
