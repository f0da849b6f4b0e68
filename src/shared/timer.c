/*
 * timer.c
 *	  The timer that bounds a run.
 *
 * It is one of our own and not the statement timer: nothing that a handler may
 * set disarms it, and in a session of somebody else's it does not come into
 * that one's way.  It cancels the run when its time is over, and again each
 * second, in case that the handler caught the error and went on.  A background
 * worker whose run is not over GRACE seconds later ends itself.  A handler that
 * never looks at interrupts notices none of this; the scheduler then says that
 * the worker is stuck (stuck.c).
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
static TimestampTz			 armed_until = 0; /* 0: not armed */
static TaskqDatabase		*db;			  /* whose scheduler is to look; NULL: not in a background worker */
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

	/* what it has asked for was meant for the run */
	if (fired > 0)
		QueryCancelPending = false;
}

/*
 * Cancel what runs then.  Returns what was armed before, which may be sooner and
 * then stays, for TimerRestore().
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

/* Is the time over that was armed for, and was that said? */
bool
TimerFired(TimestampTz until)
{
	return armed_until == until && fired > 0;
}

/* The run is over: back to the timer of the run around it, if there is one. */
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
 * It has a timer of its own, which ends any session, not only a worker's: the
 * code is not of the session's role, and nothing gentler stops one that catches
 * its cancels.
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

	/* so that the scheduler records the run that the worker was at */
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

/* Is the session to end? */
bool
TimerCodeOverdue(void)
{
	return code_fired > GRACE;
}

/* The code has come to its end; was it interrupted for its time? */
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
