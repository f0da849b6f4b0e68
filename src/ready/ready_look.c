/*
 * ready_look.c
 *	  What the ready lists hold, for the scheduler and the views.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "ready/ready_int.h"

/* Copy a route's lanes and return their number, or -1 if some are not known. */
int
ReadyLanes(int32 route_id, TimestampTz now, ReadyLaneInfo *lanes)
{
	ReadyEntry *entry = EntryLock(route_id, LW_SHARED);
	int			n = 0;

	if (entry == NULL)
		return -1;
	for (int i = entry->first_lane; i != NONE; i = ready_lanes[i].next)
	{
		ReadyLane *lane = &ready_lanes[i];
		int		   due = 0;

		while (due < lane->n && LaneHints(lane)[due].key.run_at <= now)
			due++;
		lanes[n].priority = lane->priority;
		lanes[n].n_due = due;
		lanes[n].next = due < lane->n ? LaneHints(lane)[due].key : lane->until;
		n++;
	}
	if (!entry->known)
		n = -1;
	LWLockRelease(&entry->lock);
	return n;
}

/* List the routes of this database that have lists, and return their number. */
int
ReadyRoutes(int32 **route_ids)
{
	int n = 0;

	*route_ids = palloc(sizeof(int32) * (ready != NULL ? ready->n_lanes : 1));
	if (ready == NULL)
		return 0;
	LWLockAcquire(&ready->lock, LW_SHARED);
	for (int i = 0; i < ready->n_lanes; i++)
		if (ready_entries[i].dboid == MyDatabaseId)
			(*route_ids)[n++] = ready_entries[i].route_id;
	LWLockRelease(&ready->lock);
	return n;
}

/* Count what the lists of all databases use of their memory. */
void
ReadyCountUsage(ReadyUsage *usage)
{
	memset(usage, 0, sizeof(*usage));
	LWLockAcquire(&ready->lock, LW_SHARED);
	for (int i = 0; i < ready->n_lanes; i++)
	{
		ReadyEntry *entry = &ready_entries[i];

		if (!OidIsValid(entry->dboid))
			continue;
		usage->routes++;
		LWLockAcquire(&entry->lock, LW_SHARED);
		for (int l = entry->first_lane; l != NONE; l = ready_lanes[l].next)
			usage->hints += ready_lanes[l].n;
		LWLockRelease(&entry->lock);
	}
	LWLockRelease(&ready->lock);
	SpinLockAcquire(&ready->mutex);
	usage->lanes = ready->lanes_used;
	usage->blocks = ready->blocks_used;
	SpinLockRelease(&ready->mutex);
	usage->max_lanes = ready->n_lanes;
	usage->max_blocks = ready->n_blocks;
}
