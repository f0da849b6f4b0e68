/*
 * watch.c
 *	  Noticing that the machine stood still or its clock was set.
 *
 * A lease ends at a moment of the server's clock.  While the machine stands still,
 * no worker can extend its lease.  A clock that is set ahead would end all leases,
 * and a clock that is set back would keep the jobs of dead workers.  The scheduler
 * notices both: its sleep has taken longer than it asked for, or the server's clock
 * and the monotonic clock went apart.  It then notes by how much the ends of leases
 * move: exactly by the time that was lost, so leases still end on a machine that is
 * always late.
 *
 * Only leases from before the pause are moved.  The xmin of a row says when its
 * lease was extended last.
 */
#include "taskq.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "portability/instr_time.h"

#include "base/clock.h"
#include "shared/shmem.h"
#include "shared/watch.h"

#define TOLERANCE (USECS_PER_SEC / 2)
#define NEWS (5 * USECS_PER_SEC) /* a shorter delay is usual on a busy machine, and is not logged */
#define REMEMBERED USECS_PER_DAY /* a live worker extends its lease within this time */

static TaskqDatabase *db = NULL;
static int64		  allowed = 0; /* the time that may pass until the next look */

/* The monotonic clock, in microseconds. */
static int64
SteadyNow(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

/* Note that leases which were valid at "from" move by "by" microseconds. */
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
		/* Merge the two oldest.  Leases extended between them move by too much. */
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

/* Begin to watch.  An earlier scheduler may have left its last look. */
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

/* Note that we are going to sleep.  True: time was lost before. */
bool
WatchSleep(long milliseconds)
{
	bool lost = WatchNote();

	allowed = (int64) milliseconds * 1000;
	return lost;
}

/* Note the time that was lost since the last call.  Returns true if any was. */
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

/* Return the time, after noting what was lost until now. */
TimestampTz
WatchNow(void)
{
	TimestampTz now = ClockNow();

	(void) WatchNote();
	return now;
}

/*
 * Must a lease be moved?  The transaction id says whether it was extended before or
 * after the pause.  If it was extended about that time, its end decides: it lies
 * within the time that was lost, or after the moment to which the clock was set.
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

/* Return the end of a lease by the present clock; the row is the one that stores it. */
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
