/*
 * pause.c
 *	  Paused task types.  A type is paused by an operator, or by taskq because its
 *	  handler cannot work in the present state of the database.
 *
 * A pause of the second kind (paused_because is set) ends by itself.  It ends at
 * once when the handler's function or registration is changed.  Otherwise, the
 * scheduler puts the type on trial after a minute.  Then only one job of the type
 * may run at a time, which claims ensure by a lock.  If the run completes, the pause
 * ends.  If it fails as the runs that led to the pause did, the pause continues for
 * twice as long, up to an hour, and the failure does not count against the job.
 * After any other failure the next job is tried at once (FailsTrial in outcome.c).
 *
 * None of the statements here waits for a row lock, because an operator may hold
 * one on the type's row in an open transaction.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "base/clock.h"
#include "config/changes.h"
#include "config/handler.h"
#include "config/pause.h"
#include "config/stale.h"
#include "shared/locks.h"
#include "store/catalog.h"
#include "store/owner.h"

#define FIRST_TRIAL USECS_PER_MINUTE

/* Selects the row of the type $1, if it meets the condition and nobody has locked it. */
#define FREE_ROW(condition) \
	" WHERE task_type = (SELECT task_type FROM taskq.handlers WHERE task_type = $1 AND " condition " FOR UPDATE SKIP LOCKED)"

#define NOT_PAUSED "paused = false, " NO_TRIAL
#define NO_TRIAL "paused_because = NULL, paused_function = NULL, trial_at = NULL, trials = 0, on_trial = false"

/*
 * Run a statement that changes the row of a type.  Returns whether it has changed
 * the row.
 */
static bool
Change(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	bool changed;

	changed = OwnerRun(sql, nargs, types, values, nulls) > 0;
	if (changed)
		ConfigNameChanged(REL_HANDLERS, TextDatumGetCString(values[0]));
	return changed;
}

/*
 * Pause or resume a type on behalf of an operator.  If taskq has paused the type,
 * the pause becomes the operator's.
 */
bool
PauseSet(const char *task_type, bool paused)
{
	Oid	  types[] = { TEXTOID };
	Datum values[] = { CStringGetTextDatum(task_type) };

	if (!paused)
		return Change("UPDATE taskq.handlers SET " NOT_PAUSED " WHERE task_type = $1 AND paused", 1, types, values, NULL);
	return Change("UPDATE taskq.handlers SET paused = true, " NO_TRIAL
				  " WHERE task_type = $1 AND (NOT paused OR paused_because IS NOT NULL)",
				  1, types, values, NULL);
}

/*
 * Return a text that identifies the present version of a function.  The text
 * changes after CREATE OR REPLACE FUNCTION and ALTER FUNCTION, and if the type gets
 * another function.
 */
char *
PauseFunctionMark(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	char	 *mark;

	if (!HeapTupleIsValid(tuple))
		return pstrdup("");
	mark = psprintf("%u %u (%u,%u)", function, HeapTupleHeaderGetRawXmin(tuple->t_data),
					ItemPointerGetBlockNumber(&tuple->t_self), ItemPointerGetOffsetNumber(&tuple->t_self));
	ReleaseSysCache(tuple);
	return mark;
}

/*
 * Pause a type because its jobs fail in the present state of the database.  Returns
 * false if the type is paused already or its row is locked.
 */
bool
PauseForSetup(const char *task_type, const char *because)
{
	const TaskqHandler *handler = HandlerFind(task_type);
	Oid					types[] = { TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID };
	Datum				values[4];

	if (handler == NULL)
		return false;
	values[0] = CStringGetTextDatum(task_type);
	values[1] = CStringGetTextDatum(because);
	values[2] = CStringGetTextDatum(PauseFunctionMark(handler->function));
	values[3] = TimestampTzGetDatum(ClockNow() + FIRST_TRIAL);
	return Change("UPDATE taskq.handlers SET paused = true, paused_because = $2, paused_function = $3, trial_at = $4,"
				  " trials = 0, on_trial = false" FREE_ROW("(NOT paused OR paused_function <> $3)"),
				  4, types, values, NULL);
}

/* trial -------------------------------------------------------------------- */

/*
 * Lock a type on trial until the transaction ends, so that no other job of it runs.
 * Returns false if another transaction holds the lock.
 */
bool
TrialTake(const char *task_type)
{
	return LockKey(LOCK_TRIAL, NameKey(task_type), true, false);
}

/* Does another transaction hold the lock of a type on trial? */
bool
TrialIsTaken(const char *task_type)
{
	return LockKeyIsTaken(LOCK_TRIAL, NameKey(task_type));
}

/* Record that a job on trial has failed.  The time until the next trial is doubled. */
void
TrialFailed(const char *task_type)
{
	Oid	  types[] = { TEXTOID, TIMESTAMPTZOID };
	Datum values[] = { CStringGetTextDatum(task_type), TimestampTzGetDatum(ClockNow()) };

	Assert(LockKeyIsHeld(LOCK_TRIAL, NameKey(task_type), true));
	(void) Change("UPDATE taskq.handlers SET on_trial = false, trials = trials + 1,"
				  " trial_at = $2 + LEAST(interval '1 min' * power(2, LEAST(trials + 1, 10)), interval '1 h')" FREE_ROW("on_trial"),
				  2, types, values, NULL);
}

void
TrialPassed(const char *task_type)
{
	Oid	  types[] = { TEXTOID };
	Datum values[] = { CStringGetTextDatum(task_type) };

	if (Change("UPDATE taskq.handlers SET " NOT_PAUSED FREE_ROW("paused_because IS NOT NULL"), 1, types, values, NULL))
		ereport(LOG,
				(errmsg("task type \"%s\" is not paused any more, as a job of it was tried with success", task_type)));
}

/*
 * End a pause that is over, or put its type on trial.  Returns false if the row is
 * locked.
 */
static bool
Advance(const char *task_type, bool is_over)
{
	Oid	  types[] = { TEXTOID };
	Datum values[] = { CStringGetTextDatum(task_type) };

	if (!is_over)
		return Change("UPDATE taskq.handlers SET on_trial = true" FREE_ROW("paused_because IS NOT NULL"),
					  1, types, values, NULL);
	if (!Change("UPDATE taskq.handlers SET " NOT_PAUSED FREE_ROW("paused_because IS NOT NULL"), 1, types, values, NULL))
		return false;
	ereport(LOG,
			(errmsg("task type \"%s\" is not paused any more, as its function has changed", task_type)));
	return true;
}

/*
 * Put types on trial when their time has come, and end pauses that are over.
 * Returns when to call this again.  Called by the scheduler.
 */
TimestampTz
TrialLook(void)
{
	static uint64		 version = 0;
	static TimestampTz	 next = 0;
	const TaskqHandler **paused;
	int					 n;

	if (version == ConfigVersion() && next > ClockNow())
		return next;
	version = ConfigVersion();
	next = DT_NOEND;
	paused = HandlersPaused(&n);
	for (int i = 0; i < n; i++)
	{
		const TaskqHandler *handler = paused[i];
		bool				waits = handler->trial_at != 0 && !handler->on_trial;

		if (waits && ClockIsAhead(handler->trial_at, USECS_PER_HOUR))
			next = Min(next, handler->trial_at);
		else if (waits || handler->pause_is_over)
		{
			/* the handlers in memory have changed, so the other types are left to the next call */
			if (Advance(pstrdup(handler->task_type), handler->pause_is_over))
			{
				version = 0;
				return ClockNow();
			}
			next = Min(next, ClockNow() + USECS_PER_SEC);
		}
	}
	return next;
}
