/*
 * work.c
 *	  Running the scheduler's work: each piece when it is due, in transactions of
 *	  its own.
 *
 * The pieces are in work_table.c.  If one fails, the error is reported with its
 * name, and the piece is tried again after a delay that doubles with each failure.
 * Other pieces are not delayed.
 *
 * A round in which nothing is due starts no transaction.  Some changes are not
 * announced, for example jobs that a restore has written, or a replaced function.
 * These are looked for at intervals of taskq.poll_interval, but only if a transaction
 * with an id has ended since the last look.  Nothing else can have changed the result
 * of a look.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lwlock.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/injection_point.h"
#include "config/adopt.h"
#include "config/stale.h"
#include "process/helper.h"
#include "process/look_around.h"
#include "process/work.h"
#include "process/work_transaction.h"
#include "store/catalog.h"

#define CARE_EVERY USECS_PER_MINUTE /* if something may have changed */
#define CARE_AT_LEAST USECS_PER_HOUR
#define MOST_DELAY USECS_PER_MINUTE

typedef struct WorkState
{
	bool		ran;			/* it has run, and has not failed */
	TimestampTz ran_at;			/* start of the last run */
	TimestampTz next;			/* when the last run asked to be run again */
	TimestampTz not_before;		/* no run before this moment, after a failure */
	int			failures;		/* number of failures in a row */
	uint64		config_version; /* at the last run */
	uint64		ended;			/* count of ended transactions at the last run */
} WorkState;

static TaskqDatabase *db;
static bool			  is_helper;
static WorkState	  states[MAX_WORK];
static WorkState	  around;	   /* for looking around */
static uint32		  pending = 0; /* set of work whose batches must be done here */
static int			  last_batch = 0;

/* when ------------------------------------------------------------------------ */

/* Return how many transactions with an id have ended in the whole cluster. */
static uint64
CountEnded(void)
{
	uint64 ended;

	LWLockAcquire(ProcArrayLock, LW_SHARED);
	ended = EndedTransactions_compat();
	LWLockRelease(ProcArrayLock);
	return ended;
}

/*
 * Return the moment "length" after "since", or now if the clock was set back before
 * "since".
 */
TimestampTz
WorkAfter(TimestampTz since, int64 length)
{
	return ClockHasPassed(since, length) ? ClockNow() : since + length;
}

/* For changes that are not announced and that jobs wait for. */
TimestampTz
WorkByPoll(const WorkPast *past)
{
	return past->ended ? WorkAfter(past->ran_at, (int64) taskq_poll_interval * 1000) : DT_NOEND;
}

/* For housekeeping, which nobody waits for. */
TimestampTz
WorkByCare(const WorkPast *past)
{
	return WorkAfter(past->ran_at, past->ended ? CARE_EVERY : CARE_AT_LEAST);
}

static WorkPast
Past(const WorkState *state, bool signalled)
{
	return (WorkPast){
		.signalled = signalled,
		.changed = state->config_version != ConfigVersion(),
		.ended = state->ended != CountEnded(),
		.ran_at = state->ran_at,
		.next = state->next,
	};
}

/* Delay a due moment after a failure. */
static TimestampTz
AfterFailure(const WorkState *state, TimestampTz due)
{
	return ClockIsAhead(state->not_before, MOST_DELAY) ? Max(due, state->not_before) : due;
}

static TimestampTz
DueAt(int i, bool signalled)
{
	WorkState  *state = &states[i];
	WorkPast	past = Past(state, signalled);
	TimestampTz due = DT_NOBEGIN;

	if (state->ran)
		due = Min(state->next, work_table[i].due(&past));
	return AfterFailure(state, due);
}

/* Return when the first piece of work is due. */
static TimestampTz
NextDue(bool signalled)
{
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < n_work; i++)
		next = Min(next, DueAt(i, signalled));
	return next;
}

/*
 * Return when to look around.  That is due before other work, and at intervals to
 * notice changes that are not announced.
 */
static TimestampTz
AroundDue(bool signalled)
{
	WorkPast past = Past(&around, signalled);

	if (!around.ran || signalled || past.changed)
		return AfterFailure(&around, DT_NOBEGIN);
	return AfterFailure(&around, WorkByPoll(&past));
}

/* runs ------------------------------------------------------------------------ */

static void
NoteStart(WorkState *state)
{
	state->ran_at = ClockNow();
	state->config_version = ConfigVersion();
	state->ended = CountEnded();
	state->next = DT_NOEND;
}

static void
NoteFailure(WorkState *state)
{
	state->ran = false;
	state->not_before = ClockNow() + Min(USECS_PER_SEC << Min(state->failures, 6), MOST_DELAY);
	state->failures++;
}

static void
NoteSuccess(WorkState *state)
{
	state->failures = 0;
	state->not_before = 0;
}

typedef struct RunStep
{
	WorkRunFunction run;
	WorkResult		result;
} RunStep;

static void
DoRun(void *arg)
{
	RunStep *step = arg;

	step->run(&step->result);
}

static void
Run(int i)
{
	const Work *work = &work_table[i];
	WorkState  *state = &states[i];
	RunStep		step = { work->run, { .next = DT_NOEND } };
	bool		done;

	NoteStart(state);
	if (work->alone)
		done = WorkTry(work->name, DoRun, &step);
	else
		done = WorkInTransaction(work->name, DoRun, &step);
	Assert(!IsTransactionState());
	if (!done)
	{
		NoteFailure(state);
		return;
	}
	state->ran = true;
	state->next = step.result.next;
	if (!step.result.more)
		NoteSuccess(state);
	else
	{
		Assert(work->batch != NULL);
		pending |= 1U << i;
	}
}

/* batches --------------------------------------------------------------------- */

typedef struct BatchStep
{
	const Work *work;
	bool		more;
} BatchStep;

static void
DoBatch(void *arg)
{
	BatchStep *step = arg;

	if (is_helper)
		TASKQ_INJECTION_POINT("bulk");
	if (CatalogMatches() && AdoptedHere())
		step->more = step->work->batch();
}

/*
 * Do one batch of a piece of work in a transaction of its own; returns true if
 * there are more.
 */
bool
WorkDoBatch(int i, bool *failed)
{
	BatchStep step = { &work_table[i], false };

	Assert(step.work->batch != NULL);
	WorkResetMemory();
	*failed = !WorkInTransaction(step.work->name, DoBatch, &step);
	return step.more && !*failed;
}

/* Note what the helper has done, and take back the work that it left undone. */
static void
HearHelper(void)
{
	HelperReport report = HelperHear(db);

	for (int i = 0; i < n_work; i++)
	{
		if ((report.failed & (1U << i)) != 0)
			NoteFailure(&states[i]);
		else if ((report.done & (1U << i)) != 0)
			NoteSuccess(&states[i]);
	}
	pending |= report.left;
}

/* Give the batches to the helper, or do one here if that is not possible. */
static void
DoBatches(void)
{
	int	 i;
	bool failed;

	if (pending == 0)
	{
		db->helper_lacks = false;
		return;
	}
	if (HelperTake(db, pending))
	{
		pending = 0;
		return;
	}
	do
		last_batch = (last_batch + 1) % n_work;
	while ((pending & (1U << last_batch)) == 0);
	i = last_batch;
	if (WorkDoBatch(i, &failed))
		return;
	pending &= ~(1U << i);
	if (failed)
		NoteFailure(&states[i]);
	else
		NoteSuccess(&states[i]);
}

/* rounds ---------------------------------------------------------------------- */

void
WorkInit(TaskqDatabase *database, bool helper)
{
	Assert(n_work <= MAX_WORK);
	db = database;
	is_helper = helper;
	WorkTransactionInit();
}

/*
 * Make all work due.  Call this when the settings or the database may have changed,
 * or the clock was set, so that moments computed before are no longer valid.
 */
void
WorkAllDue(void)
{
	around.ran = false;
	for (int i = 0; i < n_work; i++)
		states[i].ran = false;
}

/*
 * Check whether taskq may work in this database; returns false if it may not, or if
 * the check failed.
 */
static bool
LookedAround(bool *leave)
{
	Surroundings found = { 0 };

	NoteStart(&around);
	around.ran = WorkInTransaction("look around", LookAround, &found);
	*leave = around.ran && found.leave;
	if (around.ran)
		NoteSuccess(&around);
	else
		NoteFailure(&around);

	/* everything may be different after a pause; a signal that comes now is not lost */
	if (!around.ran || found.idle)
	{
		bool ran = around.ran;

		WorkAllDue();
		around.ran = ran;
		pending = 0;
		return false;
	}
	return true;
}

/*
 * Do all work that is due; returns when the next piece is due.  Sets *leave if
 * taskq is not installed any more.
 */
TimestampTz
WorkRound(bool signalled, bool *leave)
{
	*leave = false;
	WorkResetMemory();
	HearHelper();
	if (pending == 0 && Min(AroundDue(signalled), NextDue(signalled)) > ClockNow())
		return Min(AroundDue(false), NextDue(false));
	if (AroundDue(true) > ClockNow())
		return AroundDue(true); /* it failed a moment ago */
	if (!LookedAround(leave))
		return AroundDue(false);
	for (int i = 0; i < n_work; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (db->blocked > 0)
			return ClockNow();
		if (DueAt(i, signalled) <= ClockNow())
			Run(i);
	}
	DoBatches();
	return pending != 0 ? ClockNow() : Min(AroundDue(false), NextDue(false));
}

/* Do the scheduler or the helper have batches to do? */
bool
WorkIsPending(void)
{
	return pending != 0 || db->helper_work != 0;
}

bool
WorkIsBehind(void)
{
	return pending != 0;
}
