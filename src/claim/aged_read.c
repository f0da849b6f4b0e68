/*
 * aged_read.c
 *	  Reading the index of waiting jobs of a route whose jobs improve their priorities.
 *
 * The index has the jobs of each priority in the order of their run_at, and so in the order
 * of their places (ready/ready_aged.c).  The first jobs of all priorities are merged.  Jobs
 * have few different priorities.
 */
#include "taskq.h"

#include "claim/cursor.h"
#include "claim/heads.h"

typedef struct AgedRead
{
	ClaimScan	*scan;
	ClaimCursor *cursor;
	ScanHint	*hints; /* the first jobs, in order */
	int			 n;
	bool		 more; /* there may be others */
} AgedRead;

/* Return the place of a job in the order of its route. */
JobKey
CursorOrder(const ClaimCursor *cursor, const JobKey *key)
{
	ReadyKey place = { key->run_at, key->job_id };

	if (cursor->age_every == 0)
		return *key;
	place = ReadyAged(place, key->priority, cursor->age_every);
	return (JobKey){ 0, place.run_at, place.job_id };
}

/* Return the key of the first job with this priority that can come after a place. */
static ReadyKey
KeyAfter(const ClaimCursor *cursor, int16 priority, const JobKey *place)
{
	ReadyKey key = { place->run_at, place->job_id };

	if (key.job_id < PG_INT64_MAX)
		key.job_id++;
	return ReadyAged(key, priority, -cursor->age_every);
}

/* Add a hint in its place.  Returns false if it comes after all those for which there is room. */
static bool
Add(AgedRead *read, const ScanHint *hint)
{
	JobKey place = CursorOrder(read->cursor, &hint->key);
	int	   at = read->n;

	while (at > 0)
	{
		JobKey other = CursorOrder(read->cursor, &read->hints[at - 1].key);

		if (!HeadPrecedes(&place, &other))
			break;
		at--;
	}
	read->more = read->more || read->n == read->scan->ahead;
	if (at == read->scan->ahead)
		return false;
	if (read->n < read->scan->ahead)
		read->n++;
	memmove(&read->hints[at + 1], &read->hints[at], sizeof(ScanHint) * (read->n - 1 - at));
	read->hints[at] = *hint;
	return true;
}

/* Add the due jobs of one priority. */
static void
ReadPriority(AgedRead *read, int16 priority)
{
	ClaimScan *scan = read->scan;
	ReadyKey   from = KeyAfter(read->cursor, priority, &read->cursor->after);
	ScanHint   hint;

	ScanLane(&scan->scan, read->cursor->route_id, priority, &from);
	while (ScanNext(&scan->scan, &hint))
	{
		if (hint.key.run_at > scan->now)
		{
			scan->next_due = Min(scan->next_due, hint.key.run_at);
			return;
		}
		if (!Add(read, &hint))
			return;
	}
}

/* Read the next hints of a route.  "after" of the cursor is a place. */
void
CursorReadAged(ClaimScan *scan, ClaimCursor *cursor)
{
	AgedRead read = { .scan = scan, .cursor = cursor };
	JobKey	 last = JOB_KEY_BEGIN;
	ScanHint hint;

	CursorMakeHints(scan, cursor);
	read.hints = cursor->hints;
	for (;;)
	{
		ScanRoute(&scan->scan, cursor->route_id, &last);
		if (!ScanNext(&scan->scan, &hint))
			break;
		ReadPriority(&read, hint.key.priority);
		last = (JobKey){ hint.key.priority, DT_NOEND, PG_INT64_MAX };
	}
	ScanRest(&scan->scan);
	cursor->n_hints = read.n;
	cursor->finished = !read.more;
	if (read.n > 0)
		cursor->after = CursorOrder(cursor, &read.hints[read.n - 1].key);
}
