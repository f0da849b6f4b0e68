/*
 * notify.c
 *	  Sending one NOTIFY for many events.
 *
 * Commits with a NOTIFY wait for each other in the whole cluster.  So the
 * transactions that write events send none, and the scheduler sends one for many of
 * them.
 */
#include "taskq.h"

#include "commands/async.h"

#include "base/clock.h"
#include "base/guc.h"
#include "job/event_position.h"
#include "process/notify.h"

static TimestampTz notified_at = 0;

TimestampTz
NotifyDue(const WorkPast *past)
{
	if (taskq_event_notify_interval == 0 || pg_atomic_read_u32(&ShmemMyDatabase()->events_to_notify) == 0)
		return DT_NOEND;
	return WorkAfter(notified_at, (int64) taskq_event_notify_interval * 1000);
}

/* Tell listening sessions that there are new events. */
void
NotifyOfEvents(WorkResult *result)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (NotifyDue(NULL) > ClockNow())
		return;
	notified_at = ClockNow();
	pg_atomic_write_u32(&db->events_to_notify, 0);
	pg_memory_barrier();
	Async_Notify("taskq_events", psprintf(INT64_FORMAT, EventHorizon(PG_INT64_MIN)));
}
