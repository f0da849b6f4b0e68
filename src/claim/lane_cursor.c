/*
 * lane_cursor.c
 *	  One route in the look of a claim: its first due job that is in a lane.
 *
 * Shared memory knows the lanes of a route and their first jobs (ready/key_lane.c).  Where
 * it does not, and for jobs that the current transaction has added itself, the claim reads
 * the index: the first due job of each lane, for some lanes at once, and the next job of a
 * lane when its first was tried.  With more lanes than that, another claim of this process
 * goes on behind the lanes that this one has read.  Fair queues take turns in one reading.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "claim/heads.h"
#include "claim/lane_cursor.h"
#include "config/limit.h"
#include "config/weight.h"
#include "job/lane.h"
#include "ready/key_lane.h"
#include "ready/ready.h"

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

static JobKey
JobKeyOf(const LaneKey *key)
{
	return (JobKey){ key->priority, key->key.run_at, key->key.job_id };
}

static LaneHint
LaneHintOf(const ScanHint *hint)
{
	return (LaneHint){ { hint->key.priority, { hint->key.run_at, hint->key.job_id } }, hint->tid };
}

/* Begin to read the index of lanes. */
static JobScan *
OpenLanes(ClaimScan *scan)
{
	if (scan->lanes.heap == NULL)
		ScanBegin(&scan->lanes, REL_JOBS_LANES, scan->jobs->rel, 0);
	(void) ScanRefresh(&scan->lanes);
	return &scan->lanes;
}

/*
 * Is no job of this database in a lane?  If nothing is known, the index is read, once in
 * a claim.
 */
static bool
AreAbsent(ClaimScan *scan)
{
	uint64	 state = KeyLanesState();
	ScanHint hint;

	if (KeyLanesAbsent())
		return true;
	if (!KeyLanesUnknown(state))
		return false;
	if (!scan->lanes_looked)
	{
		scan->lanes_absent = !ScanAny(OpenLanes(scan), &hint);
		ScanRest(&scan->lanes);
		if (scan->lanes_absent)
			KeyLanesNoteAbsent(state);
		scan->lanes_looked = true;
	}
	return scan->lanes_absent;
}

/* memory ---------------------------------------------------------------------- */

/* Add the lanes of a route to the memory. */
static void
Learn(ClaimScan *scan, int32 route_id)
{
	uint64		number = KeyLanesLearnBegin(route_id);
	JobScan	   *lanes;
	int64		lane = PG_INT64_MIN;
	ScanHint	hint;
	TimestampTz next_due;
	bool		is_only;
	bool		all = true;

	if (number == 0)
		return;
	lanes = OpenLanes(scan);
	while (all && ScanNextLane(lanes, route_id, &lane, scan->now, &hint, &next_due, &is_only))
	{
		LaneHint first = LaneHintOf(&hint);

		CHECK_FOR_INTERRUPTS();
		all = KeyLanesLearn(route_id, number, lane, hint.key.run_at <= scan->now ? &first : NULL, is_only, next_due);
	}
	ScanRest(lanes);
	KeyLanesLearnEnd(route_id, number, all);
}

/* Read what the memory does not know of the first lane of a route. */
static void
Read(ClaimScan *scan, int32 route_id, const LanePlace *place)
{
	JobKey		from = JobKeyOf(&place->key);
	JobScan	   *lanes = OpenLanes(scan);
	LaneJobs	found = { 0 };
	ScanHint	hint;
	TimestampTz next_due;
	bool		any = ScanFirstDue(lanes, route_id, place->lane, &from, scan->now, &hint, &next_due);

	while (any && hint.key.run_at <= scan->now && found.n < lengthof(found.jobs))
	{
		found.jobs[found.n++] = LaneHintOf(&hint);
		any = ScanNext(lanes, &hint);
	}
	found.is_whole = !any;
	ScanRest(lanes);
	KeyLaneRead(route_id, place, &found, next_due);
}

/* Ask the memory for the first due job of a route.  Returns whether it knows, and sets *any. */
static bool
AskMemory(ClaimScan *scan, ClaimCursor *cursor, JobKey *key, bool *any)
{
	bool has_learnt = false;

	for (;;)
	{
		LanePlace	place;
		TimestampTz changes_at;
		LaneTurns	turns = LimitsOfRoute(cursor->route_id)->turns;
		LaneLook	look = KeyLanePeek(cursor->route_id, &turns, scan->now, &place, &changes_at, &cursor->timed);

		if (look == LANE_LOOK_READ)
		{
			CHECK_FOR_INTERRUPTS();
			Read(scan, cursor->route_id, &place);
			continue;
		}
		if (look == LANE_LOOK_UNKNOWN && !has_learnt)
		{
			Learn(scan, cursor->route_id);
			has_learnt = true;
			continue;
		}
		if (look == LANE_LOOK_UNKNOWN || look == LANE_LOOK_UNLISTED)
			return false;
		cursor->changes_at = Min(cursor->changes_at, changes_at);
		*any = look == LANE_LOOK_HEAD;
		if (*any)
		{
			*key = JobKeyOf(&place.key);
			cursor->tag = place.tag;
		}
		return true;
	}
}

/* index ----------------------------------------------------------------------- */

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

static void
BeginReading(ClaimScan *scan, ClaimCursor *cursor)
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
	JobScan	   *lanes = OpenLanes(scan);

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
		read->tag = TagOf(cursor->route_id, read->lane);
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
static bool
AskReader(ClaimScan *scan, ClaimCursor *cursor, JobKey *key)
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

/* The first job was tried.  Go on with the next one of its lane, or without the lane if that waits. */
static void
PassRead(ClaimScan *scan, ClaimCursor *cursor, const HeldWait *waits_for)
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
	if (waits_for == NULL)
	{
		found = ScanFirstDue(OpenLanes(scan), cursor->route_id, read->lane, &from, scan->now, &read->first, &next_due);
		ScanRest(&scan->lanes);
		scan->next_due = Min(scan->next_due, next_due);
	}
	if (!found)
		*read = reader->lanes[--reader->n];
	reader->at = -1;
}

/* for the cursor --------------------------------------------------------------- */

/*
 * Find the first due job of the route that is in a lane.  Returns false if none is due, or
 * if the route has no lanes.
 */
bool
LaneCursorHead(ClaimScan *scan, ClaimCursor *cursor, JobKey *key)
{
	bool any = false;

	if (cursor->reader == NULL)
	{
		bool reads_own = scan->heads_see_own && ReadyOpenedHere(cursor->route_id);

		if (!reads_own && AreAbsent(scan))
			return false;
		if (!reads_own && AskMemory(scan, cursor, key, &any))
			return any;
		if (reads_own)
			KeyLanesNoteUnseen();
		BeginReading(scan, cursor);
	}
	return AskReader(scan, cursor, key);
}

/* Take the first job, if it does not come after the bound. */
bool
LaneCursorTake(ClaimScan *scan, ClaimCursor *cursor, const HeadsBound *bound)
{
	LaneBound last = { bound->tag, { bound->key.priority, { bound->key.run_at, bound->key.job_id } } };
	LaneTaken taken;
	ReadyHint held;

	Assert(!cursor->has_lane_hint);
	if (cursor->age_every != 0)
		last.key = LANE_KEY_END; /* the bound is a place */
	if (cursor->reader != NULL)
	{
		cursor->lane_hint = cursor->reader->lanes[cursor->reader->at].first;
		cursor->has_lane_hint = cursor->knows_group = true;
		return true;
	}
	ReadyReserve(1);
	if (!KeyLaneTake(cursor->route_id, &last, &taken))
		return false;
	held = (ReadyHint){ taken.first.key.key, taken.first.tid };
	ReadyHeld(cursor->route_id, taken.first.key.priority, taken.lane, &held, 1);
	cursor->lane_hint = (ScanHint){ JobKeyOf(&taken.first.key), taken.first.tid };
	cursor->has_lane_hint = true;
	cursor->knows_group = taken.knows_group;
	cursor->tag = taken.tag;
	return true;
}

/*
 * The job that was taken has this row.  Has its group its turn?  If the group was not known,
 * the lane was taken as if nothing had ever been started for it.
 */
bool
LaneCursorHasTurn(ClaimCursor *cursor, TupleTableSlot *row)
{
	return cursor->knows_group || KeyLaneGroup(GroupOfRow(cursor->route_id, row));
}

/* The job that was taken was tried, see ChoosePass(). */
void
LaneCursorPass(ClaimScan *scan, ClaimCursor *cursor, bool passed, const HeldWait *waits_for)
{
	Assert(cursor->has_lane_hint);
	cursor->has_lane_hint = false;
	if (cursor->reader != NULL)
		PassRead(scan, cursor, waits_for);
	else
		KeyLaneLetGo(passed, waits_for);
}

/* Count due jobs of the route that are in lanes that do not wait, up to "most". */
int
LaneCursorCount(ClaimScan *scan, ClaimCursor *cursor, int most)
{
	int64 *lane_ids;
	JobKey head;
	int	   n;
	int	   due = 0;

	cursor->changes_at = DT_NOEND;
	if (most <= 0 || !LaneCursorHead(scan, cursor, &head))
	{
		scan->next_due = Min(scan->next_due, cursor->changes_at);
		return 0;
	}
	scan->next_due = Min(scan->next_due, cursor->changes_at);
	if (cursor->reader != NULL)
		return Min(cursor->reader->n, most);
	lane_ids = palloc(sizeof(int64) * most);
	n = KeyLanesListed(cursor->route_id, lane_ids, most);
	for (int i = 0; i < n && due < most; i++)
		due += ScanCountDue(OpenLanes(scan), cursor->route_id, lane_ids[i], scan->now, most - due);
	ScanRest(&scan->lanes);
	pfree(lane_ids);
	return due;
}
