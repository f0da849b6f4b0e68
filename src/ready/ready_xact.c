/*
 * ready_xact.c
 *	  What a transaction takes from the ready list and is to put into it.
 *
 * Opened: jobs that it makes wait; their hints go in at its commit.  Held: hints
 * that it has taken, and waiting jobs whose rows it has locked, which others
 * pass over from then on.  These go back at its end, however it ends, but for
 * those whose job has left its state, and then at abort only.
 *
 * The callbacks allocate nothing and cannot fail.  At a commit or abort they are
 * called when the transaction is seen to have ended, so whoever takes a hint
 * finds its row.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "ready/ready.h"
#include "shared/prepared.h"

#define MAX_OPENED 100000 /* in one transaction; then all lists are made anew */
#define MANY_OPENED 1000  /* too many to search */
#define KEPT_SIZE 4096	  /* entries that are kept for the next transaction */

typedef struct Opened
{
	int32	  route_id;
	int16	  priority;
	bool	  rest;	 /* stands for itself and all behind it */
	int		  level; /* of the subtransaction */
	ReadyHint hint;
} Opened;

typedef struct Held
{
	int32	  route_id;
	int16	  priority;
	int		  level;
	int		  left_level; /* of the subtransaction in which the job left its state; 0: none */
	ReadyHint hint;
} Held;

static Opened *opened = NULL;
static int	   n_opened = 0;
static int	   max_opened = 0;
static int	   run_length = 0; /* of the last ones, which are of one lane and level */
static bool	   too_many = false;

/* In the order of their levels, as the opened ones are. */
static Held *held = NULL;
static int	 n_held = 0;
static int	 max_held = 0;
static int	 deepest_left = 0; /* no left_level is greater */
static int	 first_left = 0;   /* none before it has one that is greater than 1 */

static void *
Grow(void *array, Size size, int *max, int wanted)
{
	if (wanted <= *max)
		return array;
	*max = Max(wanted, Max(16, *max * 2));
	return array == NULL ? MemoryContextAllocHuge(TopMemoryContext, size * *max) : repalloc_huge(array, size * *max);
}

/* Does it go with the last one? */
static bool
InRun(int32 route_id, int16 priority, int level)
{
	Opened *last;

	if (run_length == 0)
		return false;
	last = &opened[n_opened - 1];
	return last->route_id == route_id && last->priority == priority && last->level == level;
}

/* A job will wait, if this commits. */
void
ReadyOpened(int32 route_id, int16 priority, const ReadyHint *hint)
{
	int		level = GetCurrentTransactionNestLevel();
	Opened *last;

	if (!ReadyPresent() || too_many)
		return;
	run_length = InRun(route_id, priority, level) ? run_length + 1 : 1;
	if (run_length > READY_ROOM + 1)
	{
		/* a lane has no room for more: the last one stands for the rest */
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
	opened = Grow(opened, sizeof(Opened), &max_opened, n_opened + 1);
	last = &opened[n_opened++];
	last->route_id = route_id;
	last->priority = priority;
	last->rest = run_length == READY_ROOM + 1;
	last->level = level;
	last->hint = *hint;
}

/* Has this transaction jobs of the route that only it can see, or may it have some? */
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

/* Have room for what is about to be taken. */
void
ReadyReserve(int n)
{
	if (ReadyPresent())
		held = Grow(held, sizeof(Held), &max_held, n_held + n);
}

/* It has taken these hints, or locked the rows of these waiting jobs. */
void
ReadyHeld(int32 route_id, int16 priority, const ReadyHint *hints, int n)
{
	if (!ReadyPresent())
		return;
	ReadyReserve(n);
	for (int i = 0; i < n; i++)
	{
		Held *hold = &held[n_held++];

		hold->route_id = route_id;
		hold->priority = priority;
		hold->level = GetCurrentTransactionNestLevel();
		hold->left_level = 0;
		hold->hint = hints[i];
	}
}

/* Those that are asked for are mostly among the last. */
static int
FindHeld(const ReadyKey *key)
{
	for (int i = n_held - 1; i >= 0; i--)
		if (ReadyCompare(&held[i].hint.key, key) == 0)
			return i;
	return -1;
}

/* A held job has another state now, if this commits. */
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

static void
RemoveHeld(int i)
{
	memmove(&held[i], &held[i + 1], sizeof(Held) * (n_held - i - 1));
	n_held--;
	first_left = Min(first_left, i);
}

/* A hint has led to nothing, or to a row that somebody else has and will put back. */
void
ReadyDrop(ReadyKey key)
{
	int i = FindHeld(&key);

	if (i >= 0)
		RemoveHeld(i);
}

/* A hint that was taken is not wanted. */
void
ReadyPutBack(ReadyKey key)
{
	int i = FindHeld(&key);

	if (i < 0)
		return;
	(void) ReadyPush(held[i].route_id, held[i].priority, &held[i].hint, ClockNow());
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
		if (opened[i].rest)
			ReadyPushRest(opened[i].route_id, opened[i].priority, opened[i].hint.key);
		else
			(void) ReadyPush(opened[i].route_id, opened[i].priority, &opened[i].hint, now);
	}
}

static void
PushHeld(const Held *hold)
{
	(void) ReadyPush(hold->route_id, hold->priority, &hold->hint, ClockNow());
}

static void
Forget(void)
{
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
	if (n_opened == 0 && n_held == 0 && !too_many)
		return;
	if (event == XACT_EVENT_COMMIT)
		PushOpened();
	if (event == XACT_EVENT_PREPARE)
		PreparedNote();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		for (int i = 0; i < n_held; i++)
			if (event == XACT_EVENT_ABORT || held[i].left_level == 0)
				PushHeld(&held[i]);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		Forget();
}

/* What was left in the subtransaction that ends: it counts for its parent, or not at all. */
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
		ReadyFillAbandon();
	if (n_opened == 0 && n_held == 0)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		AtSubCommit(level);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		AtSubAbort(level);
}

/* Registered once: each registration is kept for the life of the process. */
void
ReadyInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
}
