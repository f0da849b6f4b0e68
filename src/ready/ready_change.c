/*
 * ready_change.c
 *	  Which routes have changed since a claim has looked at them.
 *
 * A claim with thousands of routes cannot look at each of them.  So those whose first
 * job may come earlier than before are written to a ring, without a lock, and a worker
 * that knows the first jobs of its routes reads what was written since its last claim
 * (claim/heads.c).  Jobs that are taken are not written: it does no harm to take the
 * first job of a route for an earlier one than it is.
 *
 * An element has the low half of its number, and the route.  A reader that finds another
 * number has come before the writer or too late, and must look at all routes.  They are
 * changed before the number is drawn, so it finds the change then.
 */
#include "taskq.h"

#include "ready/ready_int.h"

#define NUMBERED(number, route_id) ((uint64) (number) << 32 | (uint32) (route_id))

/* Note that the first job of a route may come earlier now.  The entry shows it already. */
void
ReadyNoteChange(int32 route_id)
{
	uint64 number;

	if (ready == NULL)
		return;
	number = pg_atomic_fetch_add_u64(&ready->n_changes, 1); /* a full barrier */
	pg_atomic_write_u64(&ready->changes[number % READY_CHANGES], NUMBERED(number, route_id));
}

/*
 * Get the routes that have changed since "seen", and move that on.  Returns their number,
 * or -1 if they are not known or more than "most"; then the caller must look at all its
 * routes.  They may be of other databases, which have other routes with these ids.
 */
int
ReadyChanges(uint64 *seen, int32 *route_ids, int most)
{
	uint64 from = *seen;
	uint64 end = pg_atomic_read_u64(&ready->n_changes);
	int	   n = 0;

	Assert(most <= READY_CHANGES);
	*seen = end;
	pg_memory_barrier(); /* what the caller reads of the routes is not older than this */
	if (end - from > most)
		return -1;
	for (uint64 number = from; number < end; number++)
	{
		uint64 change = pg_atomic_read_u64(&ready->changes[number % READY_CHANGES]);

		route_ids[n] = (int32) (uint32) change;
		if (change != NUMBERED(number, route_ids[n]))
			return -1;
		n++;
	}
	return n;
}
