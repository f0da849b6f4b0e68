/*
 * ready_aged.c
 *	  The first due job of a route whose waiting jobs improve their priorities.
 *
 * The priority of a job improves by one for each "age_every" since its run_at.  Of two jobs
 * that is first whose priority - (now - run_at) / age_every is less.  That is the same as
 * comparing run_at + priority * age_every, in which "now" does not occur.  So the order does
 * not change as time passes, nothing is written when a job gets older, and within a lane,
 * which has one priority, it is the order that the lane has anyway.  Only the choice among
 * the lanes of a route differs.
 */
#include "taskq.h"

#include "common/int.h"

#include "ready/ready_int.h"

/*
 * Return the place of a job of this priority in the order of such a route.  With a negative
 * age_every, return the key whose place this is.
 */
ReadyKey
ReadyAged(ReadyKey key, int16 priority, int64 age_every)
{
	if (TIMESTAMP_NOT_FINITE(key.run_at))
		return key;
	/* age_every is bounded, so only the sum may overflow */
	if (pg_add_s64_overflow(key.run_at, priority * age_every, &key.run_at))
		key.run_at = priority * age_every < 0 ? DT_NOBEGIN + 1 : DT_NOEND - 1;
	return key;
}

/* From now on commits say when the first job of any lane changes, see ComesFirst(). */
static void
NoteAged(int32 route_id)
{
	ReadyEntry *entry = EntryLock(route_id, LW_EXCLUSIVE);

	if (entry == NULL)
		return;
	entry->aged = true;
	LWLockRelease(&entry->lock);
	ReadyNoteChange(route_id);
}

/*
 * Like ReadyPeek().  "second" is set to a place before which no other lane of the route has
 * a job.
 */
ReadyLook
ReadyPeekAged(int32 route_id, TimestampTz now, int64 age_every, int16 *priority, ReadyKey *key, ReadyKey *second,
			  TimestampTz *changes_at)
{
	ReadyEntry *entry = EntryFindOrMake(route_id);
	ReadyKey	first = READY_END;
	ReadyLook	look = READY_NOTHING;
	bool		aged;

	*changes_at = DT_NOEND;
	*second = READY_END;
	entry = entry == NULL ? NULL : EntryLock(route_id, LW_SHARED);
	if (entry == NULL)
		return READY_UNLISTED;
	aged = entry->aged;
	if (!entry->known)
		look = entry->learn_at <= now ? READY_UNKNOWN : READY_UNLISTED;
	for (int i = entry->first_lane; i != NONE && entry->known; i = ready_lanes[i].next)
	{
		ReadyKey head = LaneHead(&ready_lanes[i]);
		ReadyKey place = ReadyAged(head, ready_lanes[i].priority, age_every);

		if (head.run_at > now)
			*changes_at = Min(*changes_at, head.run_at);
		else if (look == READY_NOTHING || ReadyCompare(&place, &first) < 0)
		{
			*second = first;
			first = place;
			*key = head;
			*priority = ready_lanes[i].priority;
			look = ready_lanes[i].n > 0 ? READY_HINT : READY_FILL;
		}
		else if (ReadyCompare(&place, second) < 0)
			*second = place;
	}
	LWLockRelease(&entry->lock);
	if (!aged)
		NoteAged(route_id);
	return look;
}
