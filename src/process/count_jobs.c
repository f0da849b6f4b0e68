/*
 * count_jobs.c
 *	  Counting the jobs of each route when their counts are not known, and now and then.
 *
 * The scheduler counts a small table itself.  A large one takes seconds, so only the
 * helper counts it.  If there is no slot for a helper, the jobs are not counted, and
 * views count the rows that they show.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "base/guc.h"
#include "job/count_rows.h"
#include "process/count_jobs.h"
#include "shared/counts.h"
#include "shared/shmem.h"

#define AGAIN_EVERY USECS_PER_HOUR /* somebody may have written rows in a way that nobody notices */
#define PAUSE_FACTOR 100		   /* at most a hundredth of a core is spent on that */
#define LEAST_PAUSE USECS_PER_SEC  /* between two attempts */
#define MOST_PAUSE USECS_PER_MINUTE

static int		   attempts = 0; /* number of attempts since there were counts */
static TimestampTz since = 0;	 /* first look of this process; it counts at least once */

/* Return how long counts are used before the rows are counted again. */
static int64
LastsFor(const CountState *state)
{
	return Max(AGAIN_EVERY, state->took * PAUSE_FACTOR);
}

/* Return when to count again although there are counts. */
static TimestampTz
AgainAt(const CountState *state, const WorkPast *past)
{
	return past->ended ? WorkAfter(Max(state->counted_at, past->ran_at), LastsFor(state)) : DT_NOEND;
}

TimestampTz
CountJobsDue(const WorkPast *past)
{
	CountState state;

	if (!CountsPresent())
		return DT_NOEND;
	state = CountsState();
	if (state.kept)
		attempts = 0;
	if (state.kept || state.under_way)
		return AgainAt(&state, past);
	return Max(WorkAfter(past->ran_at, Min(LEAST_PAUSE << Min(attempts, 6), MOST_PAUSE)), state.not_before);
}

/* Must the process do something else? */
static bool
MustStop(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	return !taskq_enabled || db == NULL || db->blocked > 0;
}

void
CountJobs(WorkResult *result)
{
	CountState state;
	int64	   pause;
	bool	   is_new;

	if (!CountsPresent())
		return;

	/* All work is due at the start, and after a change of the settings or of the clock. */
	if (since == 0)
		since = ClockNow();
	state = CountsState();
	is_new = !state.kept || state.counted_at < since;
	pause = is_new ? state.took * PAUSE_FACTOR : LastsFor(&state);
	if (state.kept && !ClockHasPassed(state.counted_at, pause))
	{
		if (is_new)
			result->next = state.counted_at + pause;
		return;
	}
	attempts++;
	if (CountIsShort())
		CountRows(MustStop);
	else
	{
		/* the helper may have to stop before it has counted */
		result->more = true;
		if (is_new)
			result->next = ClockNow() + MOST_PAUSE;
	}
}

/* Count the jobs of a large table. */
bool
CountManyJobs(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (db != NULL && db->helper_pid == MyProcPid)
		CountRows(MustStop);
	return false;
}
