/*
 * lane_reader.c
 *	  Reading the index of lanes in a claim, where shared memory does not know the lanes.
 *
 * A claim reads the first due job of each lane, for some lanes at once, and the next job of a
 * lane when its first was tried.  With more lanes than that, another claim of this process
 * goes on behind the lanes that this one has read.  In a fair queue, lanes that are read
 * take turns, too, as far as one reading goes.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "claim/heads.h"
#include "claim/lane_first.h"
#include "claim/lane_reader.h"
#include "config/limit.h"
#include "config/weight.h"
#include "job/order.h"
#include "ready/key_lane.h"

#define READ_LANES 256 /* lanes that are read at once */

/* A lane whose first due job was read. */
typedef struct ReadLane
{
	int64	 lane;
	uint64	 tag; /* in a fair queue: when it has its turn */
	ScanHint first;
} ReadLane;

struct LaneReader
{
	int		 n;
	int		 at;	   /* the lane with the first job of all, or -1 if it is not known */
	int64	 began;	   /* the lane after which reading began */
	int64	 next;	   /* the lane after which it goes on */
	bool	 wrapped;  /* it goes on from the first lane up to "began" */
	bool	 finished; /* there are no more lanes */
	ReadLane lanes[READ_LANES];
};

static int64 last_read = PG_INT64_MIN; /* the last lane of the last reading that has not read all */

/* Begin to read the index of lanes. */
JobScan *
LanesOpen(ClaimScan *scan)
{
	if (scan->lanes.heap == NULL)
		ScanBegin(&scan->lanes, REL_JOBS_LANES, scan->jobs->rel, 0);
	(void) ScanRefresh(&scan->lanes);
	return &scan->lanes;
}

/* Return when a lane that is read has its turn. */
static uint64
TagOf(int32 route_id, int64 lane)
{
	LaneTurns  turns = LimitsOfRoute(route_id)->turns;
	ShareScope scope = { SHARE_GROUPS, (uint32) turns.queue_id };

	if (turns.queue_id == 0)
		return 0;
	return LANE_KEYS(lane) == turns.fair_by ? FairShareJoin(&scope, lane) : FairShareNow(&scope);
}

void
LaneReaderBegin(ClaimScan *scan, ClaimCursor *cursor)
{
	LaneReader *reader;

	if (cursor->reader_space == NULL)
		cursor->reader_space = MemoryContextAlloc(scan->context, sizeof(LaneReader));
	reader = cursor->reader = cursor->reader_space;
	reader->n = 0;
	reader->at = -1;
	reader->began = reader->next = last_read;
	reader->wrapped = reader->finished = false;
}

/* Read some more lanes. */
static void
ReadLanes(ClaimScan *scan, ClaimCursor *cursor)
{
	LaneReader *reader = cursor->reader;
	JobScan	   *lanes = LanesOpen(scan);

	while (reader->n < READ_LANES && !reader->finished)
	{
		ReadLane   *read = &reader->lanes[reader->n];
		TimestampTz next_due;
		bool		found;
		bool		is_only;

		CHECK_FOR_INTERRUPTS();
		found = ScanNextLane(lanes, cursor->route_id, &reader->next, scan->now, &read->first, &next_due, &is_only);
		if (!found || (reader->wrapped && reader->next > reader->began))
		{
			reader->finished = reader->wrapped || reader->began == PG_INT64_MIN;
			reader->wrapped = true;
			reader->next = PG_INT64_MIN;
			continue;
		}
		read->lane = reader->next;
		if (OrderIsStray(cursor->route_id, read->lane))
		{
			KeyLanesStray();
			continue;
		}
		read->tag = TagOf(cursor->route_id, read->lane);
		if (OrderHolds(cursor->route_id, read->lane))
		{
			FirstInOrder which = LaneFindFirst(scan, cursor->route_id, read->lane, &read->first);

			next_due = which == FIRST_LATER ? read->first.key.run_at : DT_NOEND;
			if (which != FIRST_DUE)
				read->first.key = JOB_KEY_END;
		}
		scan->next_due = Min(scan->next_due, next_due);
		cursor->changes_at = Min(cursor->changes_at, next_due);
		if (read->first.key.run_at <= scan->now)
			reader->n++;
	}
	ScanRest(lanes);
	last_read = reader->finished ? PG_INT64_MIN : reader->next;
}

static bool
ReadPrecedes(const ReadLane *a, const ReadLane *b)
{
	if (a->tag != b->tag)
		return TagPrecedes(a->tag, b->tag);
	return HeadPrecedes(&a->first.key, &b->first.key);
}

/* Find the first job of the lanes that were read. */
bool
LaneReaderHead(ClaimScan *scan, ClaimCursor *cursor, JobKey *key)
{
	LaneReader *reader = cursor->reader;

	if (reader->n == 0 && !reader->finished)
		ReadLanes(scan, cursor);
	if (reader->n == 0)
		return false;
	for (int i = 0; i < reader->n && reader->at < 0; i++)
	{
		reader->at = 0;
		for (int j = 1; j < reader->n; j++)
			if (ReadPrecedes(&reader->lanes[j], &reader->lanes[reader->at]))
				reader->at = j;
	}
	*key = reader->lanes[reader->at].first.key;
	cursor->tag = reader->lanes[reader->at].tag;
	return true;
}

/* The first job was tried.  Go on with the next one of its lane, or without the lane if that waits or does not go on. */
void
LaneReaderPass(ClaimScan *scan, ClaimCursor *cursor, bool goes_on, const HeldWait *waits_for)
{
	LaneReader *reader = cursor->reader;
	ReadLane   *read = &reader->lanes[reader->at];
	JobKey		from = read->first.key;
	TimestampTz next_due;
	bool		found = false;

	if (from.job_id < PG_INT64_MAX)
		from.job_id++;
	if (LimitsOfRoute(cursor->route_id)->turns.queue_id != 0)
		read->tag += TURN_COST;
	RatesNoteWait(cursor->route_id, waits_for);
	if (goes_on && waits_for == NULL && !OrderHolds(cursor->route_id, read->lane))
	{
		found = ScanFirstDue(LanesOpen(scan), cursor->route_id, read->lane, &from, scan->now, &read->first, &next_due);
		ScanRest(&scan->lanes);
		scan->next_due = Min(scan->next_due, next_due);
	}
	if (!found)
		*read = reader->lanes[--reader->n];
	reader->at = -1;
}

/* Take the first job. */
void
LaneReaderTake(ClaimCursor *cursor)
{
	const ReadLane *first = &cursor->reader->lanes[cursor->reader->at];

	cursor->lane = first->lane;
	cursor->lane_hint = first->first;
}

/* Return how many lanes with a due job were read, up to "most". */
int
LaneReaderCount(const ClaimCursor *cursor, int most)
{
	return Min(cursor->reader->n, most);
}
