/*
 * timer.c
 *	  The timers that bound runs and users' code.
 *
 * The timer of a run is taskq's own, not the statement timer.  A handler cannot
 * disarm it by a setting, and it does not disturb the timer of a session that runs
 * a job by hand.  It cancels the run when its time is over, and again each second,
 * because the handler may catch the error and go on.  A background worker ends
 * itself if its run has not ended GRACE seconds later.  A handler that never checks
 * for interrupts is not stopped; the scheduler reports that its worker is stuck
 * (stuck.c).
 */
#include "taskq.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"

#include "base/clock.h"
#include "shared/shmem.h"
#include "shared/timer.h"

#define GRACE 5

static TimeoutId			 timer;
static bool					 registered = false;
static TimestampTz			 armed_until = 0; /* 0 if it is not armed */
static TaskqDatabase		*db;			  /* the database whose scheduler to wake; NULL outside background workers */
static volatile sig_atomic_t fired = 0;

/* Runs in the signal handler. */
static void
Fire(void)
{
	fired++;
	InterruptPending = true;
	QueryCancelPending = true;
	if (db == NULL)
		return;
	if (fired > GRACE)
	{
		ShmemMySlot()->timed_out = true;
		ProcDiePending = true;
	}
	ShmemWakeScheduler(db);
}

static void
Start(TimestampTz until)
{
	if (!registered)
		timer = RegisterTimeout(USER_TIMEOUT, Fire);
	registered = true;
	db = ShmemMySlot() != NULL && ShmemMySlot()->worker ? ShmemMyDatabase() : NULL;
	fired = 0;
	armed_until = until;
	enable_timeout_every(timer, ClockForTimer(until), 1000);
}

static void
Stop(void)
{
	if (armed_until == 0)
		return;
	disable_timeout(timer, false);
	armed_until = 0;

	/* The cancel was meant for the run, which has ended. */
	if (fired > 0)
		QueryCancelPending = false;
}

/*
 * Arm the timer to cancel what runs at a moment.  If it is armed for an earlier
 * moment already, that stays.  Returns what it was armed for, for TimerRestore().
 */
TimestampTz
TimerArm(TimestampTz until)
{
	TimestampTz before = armed_until;

	if (before != 0 && before <= until)
		return before;
	Stop();
	Start(until);
	return before;
}

/* Has the timer fired that was armed for this moment? */
bool
TimerFired(TimestampTz until)
{
	return armed_until == until && fired > 0;
}

/* Arm the timer for the outer run again, if there is one. */
void
TimerRestore(TimestampTz before)
{
	if (before == armed_until)
		return;
	Stop();
	if (before != 0)
		Start(before);
}

/* users' code outside handlers --------------------------------------------- */

/*
 * Users' code outside handlers has another timer.  It ends any session, not only a
 * worker's: the code does not belong to the session's role, and code that catches
 * its cancels cannot be stopped otherwise.
 */
static TimeoutId			 code_timer;
static bool					 code_registered = false;
static volatile sig_atomic_t code_fired = 0;

/* Runs in the signal handler. */
static void
FireAtCode(void)
{
	code_fired++;
	InterruptPending = true;
	QueryCancelPending = true;
	if (code_fired <= GRACE)
		return;
	ProcDiePending = true;

	/* The scheduler records the worker's run as timed out. */
	if (ShmemMySlot() != NULL && ShmemMySlot()->worker)
		ShmemMySlot()->timed_out = true;
}

void
TimerCodeStart(TimestampTz until)
{
	if (!code_registered)
		code_timer = RegisterTimeout(USER_TIMEOUT, FireAtCode);
	code_registered = true;
	code_fired = 0;
	enable_timeout_every(code_timer, ClockForTimer(until), 1000);
}

/* Must the session end? */
bool
TimerCodeOverdue(void)
{
	return code_fired > GRACE;
}

/* Disarm the timer of users' code.  Returns true if it has fired. */
bool
TimerCodeStop(void)
{
	if (code_registered)
		disable_timeout(code_timer, false);
	if (code_fired == 0)
		return false;
	QueryCancelPending = false;
	return true;
}
