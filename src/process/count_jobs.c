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

static int attempts = 0; /* number of attempts since there were counts */

/* Return when to count again although there are counts. */
static TimestampTz
AgainAt(const CountState *state, const WorkPast *past)
{
	int64 length = Max(AGAIN_EVERY, state->took * PAUSE_FACTOR);

	return past->ended ? WorkAfter(Max(state->counted_at, past->ran_at), length) : DT_NOEND;
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
	if (!CountsPresent())
		return;
	attempts++;
	if (CountIsShort())
		CountRows(MustStop);
	else
		result->more = true;
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
