/*
 * stuck.c
 *	  Finding runs that should have ended.
 *
 * A handler that was asked to be cancelled may catch the interrupt and continue.
 * So it is interrupted every second until it ends, as a timer does (timer.c).
 *
 * A handler in C that never checks for interrupts cannot be ended by its timer, by
 * cancel_job() or by SIGTERM.  SIGKILL would end it but would also restart the
 * server, so taskq never sends that.  All that can be done is to log a warning.
 * The scheduler calls this code; a worker's timer and a request to cancel wake the
 * scheduler.
 */
#include "taskq.h"

#include <signal.h>

#include "miscadmin.h"

#include "base/clock.h"
#include "process/stuck.h"
#include "shared/shmem.h"

/* A run that continues for this long after it should have ended is stuck. */
#define STUCK_AFTER (10 * USECS_PER_SEC)
#define INTERRUPT_EVERY USECS_PER_SEC

/* Return when a run should have ended, or 0 if it may go on. */
static TimestampTz
OverdueSince(const TaskqSlot *slot)
{
	if (slot->deadline != 0 && slot->cancelled_at != 0)
		return Min(slot->deadline, slot->cancelled_at);
	return Max(slot->deadline, slot->cancelled_at);
}

static void
Warn(const TaskqSlot *slot)
{
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("taskq worker %s is stuck in job " INT64_FORMAT " (%s)", slot->worker_id, slot->job_id, slot->task_type),
			 errdetail("The run began %ld s ago, and is %ld s beyond %s.",
					   (long) ((ClockNow() - slot->job_started_at) / USECS_PER_SEC),
					   (long) ((ClockNow() - OverdueSince(slot)) / USECS_PER_SEC),
					   OverdueSince(slot) == slot->deadline ? "its timeout" : "the request to cancel it"),
			 errhint("Its handler does not look at interrupts, or goes on after them. If neither time nor pg_terminate_backend(%d)"
					 " ends it, restart the server when that suits; do not send SIGKILL to the process, which would restart it at once.",
					 slot->pid)));
}

/*
 * Interrupt a run that was asked to be cancelled and is not over; returns when to
 * do so again. The caller holds the slot's lock.
 */
static TimestampTz
InterruptAgain(TaskqSlot *slot)
{
	TimestampTz now = ClockNow();

	Assert(LWLockHeldByMeInMode(&slot->lock, LW_EXCLUSIVE));
	Assert(slot->worker && slot->job_id != 0);
	if (slot->cancel_epoch != slot->epoch || !slot->interruptible)
		return DT_NOEND;
	if (now >= slot->interrupted_at + INTERRUPT_EVERY)
	{
		slot->interrupted_at = now;
		kill(slot->pid, SIGINT);
	}
	return slot->interrupted_at + INTERRUPT_EVERY;
}

/*
 * Interrupt runs that should have ended, and mark and log those that are stuck,
 * once each. Returns when to look again.
 */
TimestampTz
StuckLook(void)
{
	TimestampTz next = DT_NOEND;
	TaskqSlot  *copy = palloc(sizeof(TaskqSlot));

	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot  *slot = &taskq_slots[i];
		TimestampTz stuck_at = DT_NOEND;
		bool		is_new = false;

		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		if (slot->worker && slot->dboid == MyDatabaseId && slot->job_id != 0 && OverdueSince(slot) != 0)
		{
			next = Min(next, InterruptAgain(slot));
			if (!slot->stuck)
			{
				stuck_at = OverdueSince(slot) + STUCK_AFTER;
				is_new = slot->stuck = ClockNow() >= stuck_at;
				memcpy(copy, slot, sizeof(TaskqSlot));
			}
		}
		LWLockRelease(&slot->lock);
		if (is_new)
			Warn(copy);
		else
			next = Min(next, stuck_at);
	}
	pfree(copy);
	return next;
}
