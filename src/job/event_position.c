/*
 * event_position.c
 *	  Positions in the log of events.
 *
 * An event_id is a position in the log, and a reader continues after the last
 * event_id that it got.  It must not miss events of a transaction that commits
 * later with lower ids.  So a transaction that writes events first draws a number
 * and locks it until its end, and then draws its ids, which are larger.  A reader
 * first reads the last id given out, then the locked numbers, and then the rows
 * (EventHorizon()).  If the reader does not see a transaction's lock, then either
 * the transaction has ended and its rows are visible, or its ids will be beyond the
 * last id that the reader has read.  A lock is released with its subtransaction,
 * stays with a prepared transaction, and returns with it after a crash.
 */
#include "taskq.h"

#include "access/xlog.h"
#include "port/atomics.h"

#include "job/event_position.h"
#include "shared/locks.h"
#include "store/counter.h"

/*
 * Return the next position.  The first position on a new timeline is beyond all
 * positions that the old primary may have given out, because this server may not
 * have received the last ones.
 */
static int64
NextPosition(void)
{
	int64 least = (int64) (GetWALInsertionTimeLine() - 1) << TASKQ_ID_BITS;
	int64 position = CounterNext(COUNTER_EVENT);

	if (position < least)
	{
		CounterPass(COUNTER_EVENT, least);
		position = CounterNext(COUNTER_EVENT);
	}
	return position;
}

/* Return the id of the next event.  Readers stop at the locked number, which is lower. */
int64
EventNextId(void)
{
	static int64 locked = 0;

	/* the lock was of an earlier transaction, or of a savepoint that was rolled back */
	if (locked == 0 || !LockKeyIsHeld(LOCK_EVENTS, locked, false))
	{
		locked = NextPosition();
		(void) LockKey(LOCK_EVENTS, locked, false, true);
	}
	return NextPosition();
}

/*
 * Return the position up to which the log can be read by a snapshot that is taken
 * afterwards. Nobody will commit an event up to that position any more.  Positions
 * given out before this call are never given out again, not even after a crash.
 */
int64
EventHorizon(int64 after)
{
	int64  last = CounterLast(COUNTER_EVENT);
	uint64 locked;

	if (last <= after)
		return after;
	pg_memory_barrier();
	locked = LockLeastKey(LOCK_EVENTS);
	return Min((uint64) last, locked);
}
