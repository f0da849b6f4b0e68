/*
 * ready_testing.c
 *	  For tests: ready lists that are wrong, empty or without memory.
 */
#include "taskq.h"

#ifdef TASKQ_TESTING

#include "miscadmin.h"

#include "ready/ready_int.h"

/* Fill a lane with hints whose places hold no row, or the row of another job. */
static void
FillWithNonsense(ReadyLane *lane)
{
	if (lane->until.run_at <= DT_NOBEGIN + READY_ROOM)
		return; /* it is complete below none of the hints */
	for (int i = 0; i < READY_ROOM / 2; i++)
	{
		ReadyHint hint = { { DT_NOBEGIN + 1 + i, i } };

		if (i % 2 == 1)
		{
			hint.key = LaneHints(lane)[lane->n - 1].key;
			hint.key.job_id -= i;
		}
		ItemPointerSet(&hint.tid, i % 3 == 0 ? 0 : i * 1000, (i * 7) % 300 + 1);
		LaneInsert(lane, &hint);
		if (lane->n == 0)
			return; /* there is no memory */
	}
	for (int i = 0; i < lane->n; i += 3)
		ItemPointerSet(&LaneHints(lane)[i].tid, 0, i + 1);
}

/* For tests: make the lists of this database wrong, forget them, or exhaust their memory for good. */
void
ReadyMisbehave(const char *how)
{
	if (strcmp(how, "forget") == 0)
		ReadyForget();
	LWLockAcquire(&ready->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ready->n_lanes; i++)
	{
		ReadyEntry *entry = &ready_entries[i];

		LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
		for (int l = entry->dboid == MyDatabaseId ? entry->first_lane : NONE; l != NONE; l = ready_lanes[l].next)
		{
			if (strcmp(how, "lose") == 0)
				LaneSetCount(&ready_lanes[l], 0);
			if (strcmp(how, "lose") == 0 || strcmp(how, "lie") == 0)
				ready_lanes[l].until = READY_END;
			if (strcmp(how, "nonsense") == 0)
				FillWithNonsense(&ready_lanes[l]);
		}
		EntryUnlock(entry);
	}
	SpinLockAcquire(&ready->mutex);
	if (strcmp(how, "starve") == 0)
	{
		ready->free_block = NONE;
		ready->blocks_used = ready->n_blocks;
	}
	if (strcmp(how, "starve more") == 0)
		ready->free_lane = NONE;
	SpinLockRelease(&ready->mutex);
	if (strcmp(how, "starve more") == 0)
		ready->free_route = NONE;
	LWLockRelease(&ready->lock);
}

#endif /* TASKQ_TESTING */
