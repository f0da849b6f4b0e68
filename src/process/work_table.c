/*
 * work_table.c
 *	  The scheduler's work, in the order in which it is done.
 *
 * A piece of work has a function that says when it is due, and one that does it.
 * If the amount of work depends on users, it has another function that does one
 * batch (work.h).
 */
#include "taskq.h"

#include "base/clock.h"
#include "claim/external_worker.h"
#include "claim/recheck.h"
#include "config/pause.h"
#include "config/queue.h"
#include "config/route_care.h"
#include "config/stale.h"
#include "config/tenant.h"
#include "enqueue/unhandled.h"
#include "job/arm_budgets.h"
#include "job/cancel_requests.h"
#include "job/retention.h"
#include "process/count_jobs.h"
#include "process/crash.h"
#include "process/due_jobs.h"
#include "process/end_leases.h"
#include "process/keep_budgets.h"
#include "process/keep_lanes.h"
#include "process/keep_limits.h"
#include "process/keep_rates.h"
#include "process/keep_tenants.h"
#include "process/notify.h"
#include "process/prepared_end.h"
#include "process/stuck.h"
#include "process/terminations.h"
#include "process/work.h"
#include "registry/record_owners.h"
#include "settle/cancel.h"

static void
CheckReadyList(WorkResult *result)
{
	result->next = RecheckReadyList();
}

static TimestampTz
TrialsDue(const WorkPast *past)
{
	return past->changed ? DT_NOBEGIN : DT_NOEND;
}

static void
TryPausedTypes(WorkResult *result)
{
	result->next = TrialLook();
}

/*
 * A timer or a request to cancel signals the scheduler.  Look for stuck runs now
 * and then without a signal, too.
 */
static TimestampTz
StuckDue(const WorkPast *past)
{
	return past->signalled ? DT_NOBEGIN : WorkAfter(past->ran_at, USECS_PER_MINUTE);
}

static void
LookForStuck(WorkResult *result)
{
	result->next = StuckLook();
}

/* cancel requests -------------------------------------------------------------- */

static uint64 cancels_seen = 0;

/* A request for a running job is acted on when the run has ended. */
static TimestampTz
CancelsDue(const WorkPast *past)
{
	uint64 count = CancelCount();

	if (count != 0 && (past->signalled || count != cancels_seen))
		return DT_NOBEGIN;
	return WorkByPoll(past);
}

static void
ActOnCancels(WorkResult *result)
{
	int64 after = 0;

	cancels_seen = CancelCount();
	result->more = CancelSweep(&after);
}

static bool
ActOnMoreCancels(void)
{
	static int64 after = 0;

	if (CancelSweep(&after))
		return true;
	after = 0;
	return false;
}

/* unhandled jobs --------------------------------------------------------------- */

static bool queues_discard = false;

static TimestampTz
UnhandledDue(const WorkPast *past)
{
	if (past->changed)
		return DT_NOBEGIN;
	if (!queues_discard)
		return DT_NOEND;
	return past->signalled ? DT_NOBEGIN : WorkByPoll(past);
}

static void
DiscardUnhandled(WorkResult *result)
{
	int				   n;
	const TaskqQueue **queues = QueuesAll(&n);

	queues_discard = false;
	for (int i = 0; i < n; i++)
		if (queues[i]->on_unhandled == UNHANDLED_FAIL)
			queues_discard = true;
	if (queues_discard)
		result->more = UnhandledSweep();
}

/* housekeeping ----------------------------------------------------------------- */

static TimestampTz
RoutesDue(const WorkPast *past)
{
	return RouteCareDue(past->ended || past->changed);
}

static void
RemoveUnusedRoutes(WorkResult *result)
{
	result->more = RouteCare();
}

/* Did a row find no partition for its day? */
static bool
LeavesAreWanted(void)
{
	return pg_atomic_read_u32(&ShmemMyDatabase()->leaves_wanted) != 0;
}

static TimestampTz
EventsDue(const WorkPast *past)
{
	return past->changed || LeavesAreWanted() ? DT_NOBEGIN : WorkByCare(past);
}

static void
KeepEvents(WorkResult *result)
{
	result->more = EventKeep(&result->next);
}

static bool
DropEvents(void)
{
	EventMaintain(false);
	return false;
}

static TimestampTz
HistoryDue(const WorkPast *past)
{
	return LeavesAreWanted() ? DT_NOBEGIN : WorkByCare(past);
}

static void
KeepHistory(WorkResult *result)
{
	pg_atomic_write_u32(&ShmemMyDatabase()->leaves_wanted, 0);
	result->more = HistoryKeep(&result->next);
}

static bool
ExpireHistory(void)
{
	return HistoryMaintain(false);
}

static void
ForgetWorkers(WorkResult *result)
{
	result->more = WorkerForgetOld();
	TenantsForgetUnused();
}

static uint64 recorded_version = 0; /* ConfigCodeVersion() when the names were last recorded */

/* Changes of functions are announced, but changes of types are not. */
static TimestampTz
NamesDue(const WorkPast *past)
{
	return recorded_version != ConfigCodeVersion() ? DT_NOBEGIN : WorkByCare(past);
}

static void
RecordNames(WorkResult *result)
{
	char after[TASKQ_NAME_MAX + 1] = "";

	recorded_version = ConfigCodeVersion();
	result->more = RecordOwners(after);
}

static bool
RecordMoreNames(void)
{
	static char after[TASKQ_NAME_MAX + 1] = "";

	if (RecordOwners(after))
		return true;
	after[0] = '\0';
	return false;
}

/* the table -------------------------------------------------------------------- */

const Work work_table[] = {
	{ "record terminated runs", TerminationsDue, TerminationsRecord, .alone = true },
	{ "record crashes", CrashDue, CrashLook, .alone = true },
	{ "look for prepared transactions that have ended", PreparedDue, PreparedLook },
	{ "check the ready list", WorkByPoll, CheckReadyList },
	{ "try paused task types", TrialsDue, TryPausedTypes },
	{ "keep the limits", LimitsDue, KeepLimits },
	{ "reserve what limits let start", RatesDue, KeepRates, .alone = true },
	{ "keep the budgets", BudgetsDue, KeepBudgets },
	{ "move jobs to the routes of tenants", TenantsDue, KeepTenants },
	{ "move jobs to lanes", LanesDue, KeepLanes, MoveToLanes },
	{ "look for jobs that are due", DueJobsDue, DueJobsLook },
	{ "end leases", EndLeasesDue, EndLeases, EndLeasesBatch },
	{ "look for stuck workers", StuckDue, LookForStuck, .alone = true },
	{ "act on cancel requests", CancelsDue, ActOnCancels, ActOnMoreCancels },
	{ "count the jobs", CountJobsDue, CountJobs, CountManyJobs },
	{ "discard unhandled jobs", UnhandledDue, DiscardUnhandled, UnhandledSweep },
	{ "notify of events", NotifyDue, NotifyOfEvents },
	{ "remove unused routes", RoutesDue, RemoveUnusedRoutes, RouteDeleteSome },
	{ "keep the events", EventsDue, KeepEvents, DropEvents },
	{ "keep the history", HistoryDue, KeepHistory, ExpireHistory },
	{ "forget old workers", WorkByCare, ForgetWorkers, WorkerForgetOld },
	{ "record what the handlers' names mean", NamesDue, RecordNames, RecordMoreNames },
	{ "add up what was used of budgets", FoldDue, FoldSome, FoldReports },
	{ "forget old reports of usage", ForgetReportsDue, ForgetReports, ForgetMoreReports },
};

const int n_work = lengthof(work_table);
