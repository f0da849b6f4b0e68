/*
 * pause.c
 *	  Task types that rest: because an operator wants it, or because their
 *	  handlers cannot work as the database is now.
 *
 * A pause of the second kind (paused_because is set) ends by itself.  It is over
 * at once when the handler's function or its registration is changed.  Else the
 * scheduler puts the type on trial after a minute: a single job of it may run at
 * a time, which whoever claims one sees to by a lock.  A run that does not fail
 * in that way ends the pause; one that does goes on with it for twice as long, up
 * to an hour, and does not count against its job.
 *
 * All this is written without waiting for anybody's row lock: an operator may
 * have the type's row in an open transaction.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "base/clock.h"
#include "config/handler.h"
#include "config/pause.h"
#include "shared/locks.h"
#include "store/catalog.h"
#include "store/owner.h"

#define FIRST_TRIAL USECS_PER_MINUTE

/* The row of the type $1, if nobody has it and it is as the condition says. */
#define FREE_ROW(condition) \
	" WHERE task_type = (SELECT task_type FROM taskq.handlers WHERE task_type = $1 AND " condition " FOR UPDATE SKIP LOCKED)"

#define NOT_PAUSED "paused = false, " NO_TRIAL
#define NO_TRIAL "paused_because = NULL, paused_function = NULL, trial_at = NULL, trials = 0, on_trial = false"

/* Change a type's row; did it change? */
static bool
Change(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	bool changed;

	changed = OwnerRun(sql, nargs, types, values, nulls) > 0;
	if (changed)
		CatalogChanged(REL_HANDLERS);
	return changed;
}

/* By an operator, who takes over a pause that taskq has made, too. */
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
 * What a function is now: another text after CREATE OR REPLACE FUNCTION or ALTER
 * FUNCTION, or when the type has another function.
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

/* Its jobs fail because of how the database is now; false: it is paused, or its row is in use. */
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
 * Take the one place of a type on trial, until the transaction ends.  False:
 * somebody has it.
 */
bool
TrialTake(const char *task_type)
{
	return LockKey(LOCK_TRIAL, NameKey(task_type), true, false);
}

/* Has another transaction the one place of a type on trial? */
bool
TrialIsTaken(const char *task_type)
{
	return LockKeyIsTaken(LOCK_TRIAL, NameKey(task_type));
}

/* The next trial is later than this one was, by twice as much. */
void
TrialFailed(const char *task_type)
{
	Oid	  types[] = { TEXTOID, TIMESTAMPTZOID };
	Datum values[] = { CStringGetTextDatum(task_type), TimestampTzGetDatum(ClockNow()) };

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

/* End a pause that is over, or put its type on trial; false: the row is in use. */
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
 * Put on trial what is to be, and end what is over; when to look again.  Called by
 * the scheduler.
 */
TimestampTz
TrialLook(void)
{
	static uint64	   version = 0;
	static TimestampTz next = 0;
	TaskqHandler	 **sorted;
	int				   n;

	if (version == CatalogVersion() && next > ClockNow())
		return next;
	version = CatalogVersion();
	next = DT_NOEND;
	sorted = HandlersSorted(&n);
	for (int i = 0; i < n; i++)
	{
		const TaskqHandler *handler = sorted[i];
		bool				waits = handler->trial_at != 0 && !handler->on_trial;

		if (waits && handler->trial_at > ClockNow())
			next = Min(next, handler->trial_at);
		else if (waits || handler->pause_is_over)
		{
			/* the others are looked at the next time, as the registry has changed */
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
