/*
 * ready_xact.c
 *	  What a transaction takes from the ready list and adds to it.
 *
 * "Opened" jobs are those that the transaction makes wait.  Their hints are added
 * at commit.  "Held" hints are those that the transaction has taken, and those of
 * waiting jobs whose rows it has locked, which others skip.  They are put back at
 * the end of the transaction; at commit, those of jobs that have left their state
 * are not.
 *
 * The callbacks allocate no memory and cannot fail.  They are called when other
 * processes already see that the transaction has ended, so a process that takes a
 * hint finds its row.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/grow.h"
#include "ready/key_lane.h"
#include "ready/ready.h"
#include "shared/prepared.h"

#define MAX_OPENED 100000	/* after more than this in one transaction, all lists are built again */
#define MAX_LANES_LEFT 1000 /* after this many, all lanes are looked at */
#define MANY_OPENED 1000	/* if there are more, they are not searched */
#define KEPT_SIZE 4096		/* larger arrays are freed at the end of a transaction */

typedef struct Opened
{
	int32	  route_id;
	int16	  priority;
	bool	  rest;	 /* it stands for all further jobs of its lane */
	int		  level; /* nesting level of the subtransaction */
	int64	  lane;	 /* key lane, or 0 */
	ReadyHint hint;
} Opened;

typedef struct Held
{
	int32	  route_id;
	int16	  priority;
	int		  level;
	int		  left_level; /* nesting level at which the job left its state; 0 if it has not */
	int64	  lane;		  /* key lane, or 0 */
	ReadyHint hint;
} Held;

static Opened *opened = NULL;
static int	   n_opened = 0;
static int	   max_opened = 0;
static int	   run_length = 0; /* number of jobs at the end that have the same lane and level */
static bool	   too_many = false;

/* Ordered by level, as "opened" is. */
static Held *held = NULL;
static int	 n_held = 0;
static int	 max_held = 0;
static int	 deepest_left = 0; /* no left_level is greater */
static int	 first_left = 0;   /* no earlier element has a left_level above 1 */

/* Lanes, in which jobs are in order, that jobs have left without having run. */
static int64 *lanes_left = NULL;
static int	  n_lanes_left = 0;
static int	  max_lanes_left = 0;

/* Does the last opened job have the same lane and level? */
static bool
InRun(int32 route_id, int16 priority, int64 lane, int level)
{
	Opened *last;

	if (run_length == 0)
		return false;
	last = &opened[n_opened - 1];
	return last->route_id == route_id && last->priority == priority && last->lane == lane && last->level == level;
}

/* Note that a job will wait, in a key lane or in none (0), if this transaction commits. */
void
ReadyOpened(int32 route_id, int16 priority, int64 lane, const ReadyHint *hint)
{
	int		level = GetCurrentTransactionNestLevel();
	Opened *last;

	if ((!ReadyPresent() && lane == 0) || too_many)
		return;
	run_length = InRun(route_id, priority, lane, level) ? run_length + 1 : 1;
	if (run_length > READY_ROOM + 1)
	{
		/* A lane has no room for more hints, so the last one stands for the rest. */
		last = &opened[n_opened - 1];
		if (ReadyCompare(&hint->key, &last->hint.key) < 0)
			last->hint.key = hint->key;
		return;
	}
	if (n_opened == MAX_OPENED)
	{
		too_many = true;
		return;
	}
	Assert(n_opened == 0 || opened[n_opened - 1].level <= level);
	opened = GrowArray(opened, sizeof(Opened), &max_opened, n_opened + 1);
	last = &opened[n_opened++];
	last->route_id = route_id;
	last->priority = priority;
	last->rest = run_length == READY_ROOM + 1;
	last->level = level;
	last->lane = lane;
	last->hint = *hint;
}

/* Can this transaction have jobs of the route that only it sees? */
bool
ReadyOpenedHere(int32 route_id)
{
	if (too_many || n_opened > MANY_OPENED)
		return true;
	for (int i = n_opened - 1; i >= 0; i--)
		if (opened[i].route_id == route_id)
			return true;
	return false;
}

/* Can this transaction have jobs that only it sees? */
bool
ReadyOpenedAny(void)
{
	return too_many || n_opened > 0;
}

/* Make room for n hints that are about to be taken. */
void
ReadyReserve(int n)
{
	held = GrowArray(held, sizeof(Held), &max_held, n_held + n);
}

/* Note hints that were taken, or of waiting jobs whose rows were locked. */
void
ReadyHeld(int32 route_id, int16 priority, int64 lane, const ReadyHint *hints, int n)
{
	int level = GetCurrentTransactionNestLevel();

	if (!ReadyPresent() && lane == 0)
		return;
	ReadyReserve(n);
	Assert(n_held == 0 || held[n_held - 1].level <= level);
	for (int i = 0; i < n; i++)
	{
		Held *hold = &held[n_held++];

		hold->route_id = route_id;
		hold->priority = priority;
		hold->level = level;
		hold->left_level = 0;
		hold->lane = lane;
		hold->hint = hints[i];
	}
}

/* Search from the end, where most of those looked for are. */
static int
FindHeld(const ReadyKey *key)
{
	for (int i = n_held - 1; i >= 0; i--)
		if (ReadyCompare(&held[i].hint.key, key) == 0)
			return i;
	return -1;
}

/* Note that a held job leaves its state if this transaction commits. */
void
ReadyLeft(int64 job_id)
{
	int i = n_held - 1;

	while (i >= 0 && held[i].hint.key.job_id != job_id)
		i--;
	if (i < 0 || held[i].left_level != 0)
		return;
	held[i].left_level = GetCurrentTransactionNestLevel();
	first_left = deepest_left > 1 ? Min(first_left, i) : i;
	deepest_left = Max(deepest_left, held[i].left_level);
}

/*
 * Note that a waiting job leaves a lane in which jobs are in order, if this transaction
 * commits.  If it is rolled back in part, the lane is looked at in vain.
 */
void
ReadyLaneLeft(int64 lane)
{
	if (!LANE_IN_ORDER(lane) || (n_lanes_left > 0 && lanes_left[n_lanes_left - 1] == lane) || n_lanes_left == MAX_LANES_LEFT)
		return;
	lanes_left = GrowArray(lanes_left, sizeof(int64), &max_lanes_left, n_lanes_left + 1);
	lanes_left[n_lanes_left++] = lane;
}

static void
RemoveHeld(int i)
{
	Assert(i >= 0 && i < n_held);
	memmove(&held[i], &held[i + 1], sizeof(Held) * (n_held - i - 1));
	n_held--;
	first_left = Min(first_left, i);
}

/* Drop a hint that led to no waiting job, or to a row that another transaction holds and will put back. */
void
ReadyDrop(ReadyKey key)
{
	int i = FindHeld(&key);

	if (i >= 0)
		RemoveHeld(i);
}

/* Add a waiting job to its key lane, or to the list. */
static void
Push(int32 route_id, int16 priority, int64 lane, const ReadyHint *hint, TimestampTz now)
{
	LaneHint in_lane = { { priority, hint->key }, hint->tid };

	if (lane != 0)
		KeyLanePush(route_id, lane, &in_lane, true, now);
	else
		(void) ReadyPush(route_id, priority, hint, now);
}

static void
PushHeld(const Held *hold)
{
	Push(hold->route_id, hold->priority, hold->lane, &hold->hint, ClockNow());
}

/* Put a hint back at once. */
void
ReadyPutBack(ReadyKey key)
{
	int i = FindHeld(&key);

	if (i < 0)
		return;
	PushHeld(&held[i]);
	RemoveHeld(i);
}

/* ends --------------------------------------------------------------------- */

static void
PushOpened(void)
{
	TimestampTz now = ClockNow();

	if (too_many)
		ReadyForget();
	for (int i = 0; i < n_opened && !too_many; i++)
	{
		if (opened[i].rest && opened[i].lane == 0)
			ReadyPushRest(opened[i].route_id, opened[i].priority, opened[i].hint.key);
		else
			Push(opened[i].route_id, opened[i].priority, opened[i].lane, &opened[i].hint, now);
	}
}

/* Let the jobs start that are first in these lanes now. */
static void
TellLanesLeft(void)
{
	if (n_lanes_left == MAX_LANES_LEFT)
		KeyLanesFreeAll();
	else
		for (int i = 0; i < n_lanes_left; i++)
			KeyLaneLeft(lanes_left[i]);
}

static void
Forget(void)
{
	n_lanes_left = 0;
	n_opened = n_held = run_length = deepest_left = 0;
	too_many = false;
	if (max_opened > KEPT_SIZE)
	{
		pfree(opened);
		opened = NULL;
		max_opened = 0;
	}
	if (max_held > KEPT_SIZE)
	{
		pfree(held);
		held = NULL;
		max_held = 0;
	}
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		ReadyFillAbandon();
	KeyLaneLetGo(true, NULL);
	if (n_opened == 0 && n_held == 0 && n_lanes_left == 0 && !too_many)
		return;
	if (event == XACT_EVENT_COMMIT)
		PushOpened();
	if (event == XACT_EVENT_COMMIT)
		TellLanesLeft();
	if (event == XACT_EVENT_PREPARE)
		PreparedNote();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		for (int i = 0; i < n_held; i++)
			if (event == XACT_EVENT_ABORT || held[i].left_level == 0)
				PushHeld(&held[i]);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		Forget();
}

/*
 * Change the level at which jobs left their states in a subtransaction that ends: to the
 * level of its parent, or to 0 if it was rolled back, so that they have not left.
 */
static void
MoveLeft(int level, int to)
{
	if (deepest_left < level)
		return;
	for (int i = first_left; i < n_held; i++)
		if (held[i].left_level >= level)
			held[i].left_level = to;
	deepest_left = level - 1;
}

static void
AtSubCommit(int level)
{
	for (int i = n_opened - 1; i >= 0 && opened[i].level >= level; i--)
		opened[i].level = level - 1;
	for (int i = n_held - 1; i >= 0 && held[i].level >= level; i--)
		held[i].level = level - 1;
	MoveLeft(level, level - 1);
}

static void
AtSubAbort(int level)
{
	while (n_opened > 0 && opened[n_opened - 1].level >= level)
		n_opened--;
	run_length = 0;
	while (n_held > 0 && held[n_held - 1].level >= level)
		PushHeld(&held[--n_held]);
	MoveLeft(level, 0);
}

static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		ReadyFillAbandon();
		KeyLaneLetGo(true, NULL);
	}
	if (n_opened == 0 && n_held == 0)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		AtSubCommit(level);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		AtSubAbort(level);
}

/* Called once in a process, as callbacks stay registered. */
void
ReadyInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
}
