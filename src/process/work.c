/*
 * work.c
 *	  Running the scheduler's work: each piece when it is due, in transactions of its own.
 *
 * The pieces are in work_table.c.  One that fails is reported by its name, is tried
 * again after a delay that doubles with each failure, and holds up no other.
 *
 * When nothing is due, a round starts no transaction.  What nobody announces - rows
 * that were restored, a function that was replaced - is looked for at each poll, but
 * only if a transaction with an id has ended since the last look: nothing else can
 * have changed what a look would find.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/guard.h"
#include "base/guc.h"
#include "base/injection_point.h"
#include "config/adopt.h"
#include "process/helper.h"
#include "process/look_around.h"
#include "process/work.h"
#include "store/catalog.h"

#define CARE_EVERY USECS_PER_MINUTE /* where something may have changed */
#define CARE_AT_LEAST USECS_PER_HOUR
#define MOST_DELAY USECS_PER_MINUTE

typedef struct WorkState
{
	bool		ran;		/* and has not failed */
	TimestampTz ran_at;		/* began to, the last time */
	TimestampTz next;		/* as it said then */
	TimestampTz not_before; /* after a failure */
	int			failures;	/* in a row */
	uint64		version;	/* of the catalog, when it ran */
	uint64		ended;		/* and the count of transactions */
} WorkState;

static MemoryContext  work_context;
static TaskqDatabase *db;
static bool			  is_helper;
static WorkState	  states[MAX_WORK];
static WorkState	  around;	   /* of looking around */
static uint32		  pending = 0; /* work of which batches are to be done here */
static int			  last_batch = 0;

/* transactions --------------------------------------------------------------- */

static void
BeginTransaction(const char *what)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(work_context);
	pgstat_report_activity(STATE_RUNNING, psprintf("taskq: %s", what));
}

static void
EndTransaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(work_context);
}

/* Call a function.  If it raises an error, roll its transaction back and return the error; otherwise NULL. */
static ErrorData *
Catch(void (*function)(void *), void *arg)
{
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		function(arg);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(work_context);
		error = CopyErrorData();
		FlushErrorState();
		QueryCancelPending = false;
		AbortCurrentTransaction();
		LWLockReleaseAll();
		MemoryContextSwitchTo(work_context);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return error;
}

typedef struct TransactionStep
{
	const char *what;
	void (*function)(void *);
	void *arg;
} TransactionStep;

static void
DoInTransaction(void *arg)
{
	TransactionStep *step = arg;

	BeginTransaction(step->what);
	step->function(step->arg);
	EndTransaction();
}

static void
AskInstalled(void *arg)
{
	bool *installed = arg;

	*installed = CatalogInstalled();
}

/* Return whether the extension has been dropped; false if that cannot be found out. */
static bool
IsGone(void)
{
	bool			installed = true;
	TransactionStep step = { "look for the extension", AskInstalled, &installed };
	ErrorData	   *error = Catch(DoInTransaction, &step);

	if (error != NULL)
		FreeErrorData(error);
	return error == NULL && !installed;
}

/*
 * Call a function.  Return false if it has raised an error; its transaction is then
 * rolled back.  The error is reported, unless the extension was dropped meanwhile:
 * then there is nothing left to do, and nothing to repair.
 */
static bool
Try(const char *what, void (*function)(void *), void *arg)
{
	ErrorData *error = Catch(function, arg);

	if (error == NULL)
		return true;
	if (!IsGone())
		GuardReport(what, error);
	FreeErrorData(error);
	return false;
}

/* Call a function in a transaction of its own; false: it was rolled back, and the error is reported. */
bool
WorkInTransaction(const char *what, void (*function)(void *), void *arg)
{
	TransactionStep step = { what, function, arg };

	Assert(!IsTransactionState());
	return Try(what, DoInTransaction, &step);
}

/* when ------------------------------------------------------------------------ */

/* How many transactions with an id have ended, of all databases. */
static uint64
CountEnded(void)
{
	uint64 ended;

	LWLockAcquire(ProcArrayLock, LW_SHARED);
	ended = EndedTransactions_compat();
	LWLockRelease(ProcArrayLock);
	return ended;
}

/* So long after a moment; now, if the clock was set back behind it. */
TimestampTz
WorkAfter(TimestampTz since, int64 length)
{
	return ClockHasPassed(since, length) ? ClockNow() : since + length;
}

/* For what nobody announces, and jobs wait for. */
TimestampTz
WorkByPoll(const WorkPast *past)
{
	return past->ended ? WorkAfter(past->ran_at, (int64) taskq_poll_interval * 1000) : DT_NOEND;
}

/* For housekeeping, for which nobody waits. */
TimestampTz
WorkByCare(const WorkPast *past)
{
	return WorkAfter(past->ran_at, past->ended ? CARE_EVERY : CARE_AT_LEAST);
}

static WorkPast
Past(const WorkState *state, bool news)
{
	return (WorkPast){
		.news = news,
		.changed = state->version != CatalogVersion(),
		.ended = state->ended != CountEnded(),
		.ran_at = state->ran_at,
		.next = state->next,
	};
}

/* A failure delays what it would have been due for. */
static TimestampTz
AfterFailure(const WorkState *state, TimestampTz due)
{
	return ClockIsAhead(state->not_before, MOST_DELAY) ? Max(due, state->not_before) : due;
}

static TimestampTz
DueAt(int i, bool news)
{
	WorkState  *state = &states[i];
	WorkPast	past = Past(state, news);
	TimestampTz due = DT_NOBEGIN;

	if (state->ran)
		due = Min(state->next, work_table[i].due(&past));
	return AfterFailure(state, due);
}

/* When is the first piece of work due? */
static TimestampTz
NextDue(bool news)
{
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < n_work; i++)
		next = Min(next, DueAt(i, news));
	return next;
}

/* Looking around is due before anything else is, and to learn of changes that nobody announces. */
static TimestampTz
AroundDue(bool news)
{
	WorkPast past = Past(&around, news);

	if (!around.ran || news || past.changed)
		return AfterFailure(&around, DT_NOBEGIN);
	return AfterFailure(&around, WorkByPoll(&past));
}

/* runs ------------------------------------------------------------------------ */

static void
NoteStart(WorkState *state)
{
	state->ran_at = ClockNow();
	state->version = CatalogVersion();
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
		done = Try(work->name, DoRun, &step);
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

/* Do a batch of some work, in a transaction of its own; are there more? */
bool
WorkDoBatch(int i, bool *failed)
{
	BatchStep step = { &work_table[i], false };

	Assert(step.work->batch != NULL);
	MemoryContextReset(work_context);
	*failed = !WorkInTransaction(step.work->name, DoBatch, &step);
	return step.more && !*failed;
}

/* Note what the helper has done, and take back what one has left. */
static void
HearHelper(void)
{
	HelperNews news = HelperHear(db);

	for (int i = 0; i < n_work; i++)
	{
		if ((news.failed & (1U << i)) != 0)
			NoteFailure(&states[i]);
		else if ((news.done & (1U << i)) != 0)
			NoteSuccess(&states[i]);
	}
	pending |= news.left;
}

/* Leave batches to the helper, or else do one. */
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
	work_context = AllocSetContextCreate(TopMemoryContext, "taskq work", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(work_context);
}

/*
 * Have all work done that there is: the settings or the database may have become others,
 * or the clock was set, so that moments that were computed before do not hold.
 */
void
WorkAllDue(void)
{
	around.ran = false;
	for (int i = 0; i < n_work; i++)
		states[i].ran = false;
}

/* Find out what may be done in this database; false: nothing, or that was not to be found out. */
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

	/* after a pause everything may be different; what is signalled now is not lost */
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

/* Do all work that is due; when there will be some again.  "Leave": never. */
TimestampTz
WorkRound(bool news, bool *leave)
{
	*leave = false;
	MemoryContextReset(work_context);
	HearHelper();
	if (pending == 0 && Min(AroundDue(news), NextDue(news)) > ClockNow())
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
		if (DueAt(i, news) <= ClockNow())
			Run(i);
	}
	DoBatches();
	return pending != 0 ? ClockNow() : Min(AroundDue(false), NextDue(false));
}

/* Are there batches to be done by the scheduler, or by the helper? */
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
