/*
 * watch.c
 *	  Noticing that time was lost: the machine stood still, or the clock was set.
 *
 * A lease is a moment of the server's clock.  While the machine stands still no
 * worker can extend one, and a clock that is set ahead ends all of them; one that is
 * set back would keep the jobs of dead workers.  The scheduler sees both: its own
 * sleep has taken longer than it asked for, or the server's clock and one that
 * nobody sets went apart.  It then notes by how much leases are to be moved: exactly
 * what was lost, so that on a machine that is always late they still end.
 *
 * Only leases from before are moved: a row says by its xmin when its lease was
 * extended last.
 */
#include "taskq.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "portability/instr_time.h"

#include "base/clock.h"
#include "shared/shmem.h"
#include "shared/watch.h"

#define TOLERANCE (USECS_PER_SEC / 2)
#define NEWS (5 * USECS_PER_SEC) /* less is a machine with much to do */
#define REMEMBERED USECS_PER_DAY /* who lives calls before */

static TaskqDatabase *db = NULL;
static int64		  allowed = 0; /* how long we may have slept since the last look */

/* Microseconds of the clock that nobody sets. */
static int64
SteadyNow(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

/* Leases that were extended before now, and were in force then, are to be moved. */
static void
AddShift(TimestampTz from, int64 by)
{
	TaskqShift *shifts = db->shifts;
	int			first = 0;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	while (first < db->n_shifts && ClockHasPassed(shifts[first].at, REMEMBERED))
		first++;
	db->n_shifts -= first;
	memmove(shifts, shifts + first, sizeof(TaskqShift) * db->n_shifts);
	if (db->n_shifts == MAX_SHIFTS)
	{
		/* the two oldest become one: leases from between are moved by too much */
		shifts[1].by += shifts[0].by;
		shifts[1].from = Min(shifts[0].from, shifts[1].from);
		shifts[1].xid_before = shifts[1].xid;
		db->n_shifts--;
		memmove(shifts, shifts + 1, sizeof(TaskqShift) * db->n_shifts);
	}
	shifts[db->n_shifts] = (TaskqShift){
		.xid_before = db->watched_xid,
		.xid = ReadNextTransactionId(),
		.from = from,
		.at = ClockNow(),
		.by = by,
	};
	db->n_shifts++;
	LWLockRelease(&taskq_shared->lock);
	ereport(by >= NEWS || by <= -NEWS ? LOG : DEBUG1,
			(errmsg("taskq has lost %.1f s: leases are moved by that", by / 1000000.0),
			 errdetail("The machine stood still or was late, or its clock was set.")));
}

/* Begin to watch.  What was seen before says by how much the clock was set since. */
void
WatchBegin(TaskqDatabase *database)
{
	db = database;
	if (db->watched_at == 0)
	{
		db->watched_at = ClockNow();
		db->watched_steady = SteadyNow();
		db->watched_xid = ReadNextTransactionId();
	}
	allowed = PG_INT64_MAX;
	(void) WatchNote();
}

/* We are going to sleep for so long. */
void
WatchSleep(long milliseconds)
{
	(void) WatchNote();
	allowed = (int64) milliseconds * 1000;
}

/* Note what was lost since the last call; was anything? */
bool
WatchNote(void)
{
	TimestampTz from;
	int64		elapsed;
	int64		apart;
	int64		late;

	if (db == NULL)
		return false;
	from = db->watched_at;
	elapsed = SteadyNow() - db->watched_steady;
	apart = ClockNow() - from - elapsed;
	late = allowed == PG_INT64_MAX ? 0 : elapsed - allowed;
	db->watched_at = ClockNow();
	db->watched_steady = SteadyNow();
	allowed = 0;
	if (late >= TOLERANCE)
		AddShift(from, late);
	if (apart >= TOLERANCE || apart <= -TOLERANCE)
		AddShift(from, apart);
	db->watched_xid = ReadNextTransactionId();
	return late >= TOLERANCE || apart >= TOLERANCE || apart <= -TOLERANCE;
}

/* What time it is.  What was lost before is noted, what is lost from here on does no harm. */
TimestampTz
WatchNow(void)
{
	TimestampTz now = ClockNow();

	(void) WatchNote();
	return now;
}

/*
 * Is a lease of before to be moved?  One that was extended just before, or just
 * after, is told by where it ends: within what was lost, or behind where the clock
 * then was.
 */
static bool
IsMoved(const TaskqShift *shift, TimestampTz expires_at, TransactionId xmin)
{
	if (!TransactionIdPrecedes(xmin, shift->xid))
		return false;
	if (TransactionIdPrecedes(xmin, shift->xid_before))
		return shift->by < 0 || expires_at > shift->from;
	return expires_at > shift->from && (shift->by < 0 || expires_at < shift->from + shift->by);
}

/* When a lease ends that is stored in this row as it is, by the clock as it is now. */
TimestampTz
WatchLease(TimestampTz expires_at, TupleTableSlot *row)
{
	TaskqDatabase *database = ShmemMyDatabase();
	TransactionId  xmin;
	bool		   isnull;

	if (database == NULL || database->n_shifts == 0 || expires_at == 0)
		return expires_at;
	xmin = DatumGetTransactionId(slot_getsysattr(row, MinTransactionIdAttributeNumber, &isnull));
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	for (int i = 0; i < database->n_shifts; i++)
	{
		const TaskqShift *shift = &database->shifts[i];

		if (IsMoved(shift, expires_at, xmin))
			expires_at += shift->by;
	}
	LWLockRelease(&taskq_shared->lock);
	return expires_at;
}
