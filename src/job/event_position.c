/*
 * event_position.c
 *	  Positions in the log of events.
 *
 * An event_id is a position in the log, and readers go on from the last one they
 * got.  They must not pass over a transaction that commits later with a lower
 * id.  So whoever writes events first draws a number, locks it until the end of
 * the transaction, and then draws its ids, which are larger.  A reader looks
 * first at the last id given out, then at the locked numbers, then at the rows
 * (EventHorizon()): whose lock it does not meet has ended, and can be seen, or
 * draws ids beyond.  Locks follow subtransactions, stay with a prepared
 * transaction and come back with it after a crash.
 */
#include "taskq.h"

#include "access/xlog.h"
#include "commands/sequence.h"
#include "utils/fmgrprotos.h"

#include "job/event_position.h"
#include "shared/locks.h"
#include "store/store.h"

/*
 * The next position.  The first one on a timeline jumps beyond all that the old
 * primary can have given out: its last ones may never have come here.
 */
static int64
NextPosition(void)
{
	int64 least = (int64) (GetWALInsertionTimeLine() - 1) << TASKQ_ID_BITS;
	int64 position = StoreNextId(REL_EVENT_ID_SEQ);

	if (position >= least)
		return position;
	(void) LockKey(LOCK_EVENT_TIMELINE, 0, true, true);
	position = StoreNextId(REL_EVENT_ID_SEQ);
	if (position < least)
	{
		StoreSetId(REL_EVENT_ID_SEQ, least);
		position = StoreNextId(REL_EVENT_ID_SEQ);
	}
	UnlockKey(LOCK_EVENT_TIMELINE, 0, true);
	return position;
}

/* The next event's id; readers wait at the number locked below it. */
int64
EventNextId(void)
{
	static int64 locked = 0;

	/* not of this transaction, or of a savepoint that was rolled back */
	if (locked == 0 || !LockKeyIsHeld(LOCK_EVENTS, locked))
	{
		locked = NextPosition();
		(void) LockKey(LOCK_EVENTS, locked, false, true);
	}
	return NextPosition();
}

/*
 * Up to which position the log can be read, by a snapshot that is taken
 * afterwards: nobody will commit an event there any more.  What is given out
 * here is never given out again, not even after a crash.
 */
int64
EventHorizon(int64 after)
{
	int64  last = StoreLastId(REL_EVENT_ID_SEQ);
	uint64 locked;

	if (last <= after)
		return after;
	pg_memory_barrier();
	locked = LockLeastKey(LOCK_EVENTS);
	return Min((uint64) last, locked);
}
