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
 * A database whose scheduler rests, or lacks a slot, has leases all the same.  The
 * launcher watches the clocks for it, and no scheduler is started before the launcher
 * has noted a pause.
 *
 * Only leases from before the pause are moved.  The xmin of a row says when its
 * lease was extended last.
 */
#include "taskq.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "miscadmin.h"
#include "portability/instr_time.h"

#include "base/clock.h"
#include "base/guc.h"
#include "shared/shmem.h"
#include "shared/watch.h"

#define TOLERANCE (USECS_PER_SEC / 2)
#define LOG_FROM (5 * USECS_PER_SEC) /* a shorter delay is usual on a busy machine, and is not logged */
#define REMEMBERED USECS_PER_DAY	 /* a live worker extends its lease within this time */

static TaskqDatabase *db = NULL;			  /* the scheduler's */
static TaskqClockLook others = { 0 };		  /* the launcher's last look */
static int64		  allowed = PG_INT64_MAX; /* the time that may pass until the next look */

/* The time that was lost, in microseconds, as two signs show it. */
typedef struct Lost
{
	int64 late;	 /* how much longer than asked for a sleep took; 0 if not much */
	int64 apart; /* how far the server's clock was set ahead, or back if negative; 0 if not much */
} Lost;

static TaskqClockLook
LookAtClocks(void)
{
	TaskqClockLook look;
	instr_time	   now;

	INSTR_TIME_SET_CURRENT(now);
	look.at = ClockNow();
	look.steady = (int64) INSTR_TIME_GET_MICROSEC(now);
	look.xid = ReadNextTransactionId();
	return look;
}

/* Return what was lost between two looks. */
static Lost
Compare(const TaskqClockLook *last, const TaskqClockLook *now)
{
	int64 elapsed = now->steady - last->steady;
	Lost  lost = {
		 .late = allowed == PG_INT64_MAX ? 0 : elapsed - allowed,
		 .apart = now->at - last->at - elapsed,
	};

	if (lost.late < TOLERANCE)
		lost.late = 0;
	if (lost.apart < TOLERANCE && lost.apart > -TOLERANCE)
		lost.apart = 0;
	return lost;
}

/* Add a shift, by which the leases that were valid at the last look move.  The caller holds TaskqShared.lock. */
static void
AddShift(TaskqDatabase *database, const TaskqClockLook *last, const TaskqClockLook *now, int64 by)
{
	TaskqShift *shifts = database->shifts;
	int			first = 0;

	Assert(LWLockHeldByMeInMode(&taskq_shared->lock, LW_EXCLUSIVE));
	Assert(by != 0);
	while (first < database->n_shifts && ClockHasPassed(shifts[first].at, REMEMBERED))
		first++;
	database->n_shifts -= first;
	memmove(shifts, shifts + first, sizeof(TaskqShift) * database->n_shifts);
	if (database->n_shifts == MAX_SHIFTS)
	{
		/* Merge the two oldest.  Leases extended between them move by too much. */
		shifts[1].by += shifts[0].by;
		shifts[1].from = Min(shifts[0].from, shifts[1].from);
		shifts[1].xid_before = shifts[1].xid;
		database->n_shifts--;
		memmove(shifts, shifts + 1, sizeof(TaskqShift) * database->n_shifts);
	}
	Assert(database->n_shifts < MAX_SHIFTS);
	shifts[database->n_shifts] = (TaskqShift){
		.xid_before = last->xid,
		.xid = now->xid,
		.from = last->at,
		.at = now->at,
		.by = by,
	};
	database->n_shifts++;
}

/* Note the time that was lost.  The caller holds TaskqShared.lock. */
static void
MoveLeases(TaskqDatabase *database, const TaskqClockLook *last, const TaskqClockLook *now, Lost lost)
{
	Assert(LWLockHeldByMeInMode(&taskq_shared->lock, LW_EXCLUSIVE));
	if (lost.late != 0)
		AddShift(database, last, now, lost.late);
	if (lost.apart != 0)
		AddShift(database, last, now, lost.apart);
}

static void
ReportLost(int64 by)
{
	if (by == 0)
		return;
	ereport(by >= LOG_FROM || by <= -LOG_FROM ? LOG : DEBUG1,
			(errmsg("taskq has lost %.1f s: leases are moved by that", by / 1000000.0),
			 errdetail("The machine stood still or was late, or its clock was set.")));
}

/* the scheduler -------------------------------------------------------------- */

/* Begin to watch.  An earlier scheduler, or the launcher, may have left its last look. */
void
WatchBegin(TaskqDatabase *database)
{
	Assert(database->scheduler_pid == MyProcPid);
	db = database;
	if (db->watched.at == 0)
		db->watched = LookAtClocks();
	(void) WatchNote();
}

/* Note that the process is going to sleep.  Returns true if time was lost before. */
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
	TaskqClockLook now;
	Lost		   lost;

	if (db == NULL)
		return false;
	now = LookAtClocks();
	lost = Compare(&db->watched, &now);
	allowed = 0;
	if (lost.late != 0 || lost.apart != 0)
	{
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		MoveLeases(db, &db->watched, &now, lost);
		LWLockRelease(&taskq_shared->lock);
		ReportLost(lost.late);
		ReportLost(lost.apart);
	}
	db->watched = now;
	return lost.late != 0 || lost.apart != 0;
}

/* Return the time, after noting what was lost until now. */
TimestampTz
WatchNow(void)
{
	TimestampTz now = ClockNow();

	(void) WatchNote();
	return now;
}

/* the launcher --------------------------------------------------------------- */

/*
 * Note the time that was lost since the last call, for each database that has no
 * scheduler.  Its scheduler may have looked later than we have.
 */
void
WatchOthersNote(void)
{
	TaskqClockLook now = LookAtClocks();
	Lost		   found = { 0 };

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < taskq_shared->n_databases; i++)
	{
		TaskqDatabase *database = &taskq_databases[i];
		TaskqClockLook last = database->watched;
		Lost		   lost;

		if (!OidIsValid(database->dboid) || database->scheduler_pid != 0)
			continue;
		database->watched = now;
		if (last.at == 0)
			continue;
		if (last.steady < others.steady)
			last = others;
		lost = Compare(&last, &now);
		MoveLeases(database, &last, &now, lost);
		if (lost.late != 0 || lost.apart != 0)
			found = lost;
	}
	LWLockRelease(&taskq_shared->lock);
	others = now;
	allowed = 0;
	ReportLost(found.late);
	ReportLost(found.apart);
}

/* Are there leases in a database whose scheduler rests or lacks a slot? */
static bool
OthersHaveLeases(void)
{
	bool found = false;

	if (!taskq_enabled)
		return false;
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	for (int i = 0; i < taskq_shared->n_databases && !found; i++)
	{
		TaskqDatabase *database = &taskq_databases[i];

		found = OidIsValid(database->dboid) && database->scheduler_pid == 0 &&
				(database->rests || database->waits_since != 0) &&
				pg_atomic_read_u64(&database->next_lease) < (uint64) DT_NOEND;
	}
	LWLockRelease(&taskq_shared->lock);
	return found;
}

/* Note that the launcher is going to sleep.  Returns for how many milliseconds it may sleep. */
long
WatchOthersSleep(long milliseconds)
{
	WatchOthersNote();
	if (milliseconds > WATCH_EVERY && OthersHaveLeases())
		milliseconds = WATCH_EVERY;
	allowed = (int64) milliseconds * 1000;
	return milliseconds;
}

/* leases --------------------------------------------------------------------- */

/*
 * Must a lease be moved?  The transaction id that extended it shows whether that was
 * before or after the pause.  If it may have been either, the end of the lease decides:
 * it moves if it ends during the time that was lost, or if the clock was set back.
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

/* Return the end of a lease by the present clock.  The lease is stored in the row. */
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
