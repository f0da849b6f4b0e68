/*
 * helper.c
 *	  The helper process, which does batches of work for the scheduler.
 *
 * Expiry, and sweeps of thousands of rows, would delay leases and due jobs if the
 * scheduler did them.  So the scheduler starts a helper when there are batches to
 * do, and lists them in TaskqDatabase.helper_work, which TaskqShared.lock protects.
 * The helper leaves when there are no batches left, when slots are short, when DDL
 * needs the database, and when the scheduler has gone.  The scheduler takes back
 * the work that the helper leaves undone.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "base/clock.h"
#include "base/guc.h"
#include "process/helper.h"
#include "process/start_process.h"
#include "process/work.h"
#include "shared/slots.h"

PGDLLEXPORT void taskq_helper_main(Datum arg);

#define LOCK_PATIENCE "2s"					 /* same value as in the scheduler */
#define COMES_UP_WITHIN (10 * USECS_PER_SEC) /* if it is not up by then, its work is taken back */
#define RETRY_AFTER USECS_PER_SEC

/* of the scheduler ------------------------------------------------------------ */

static BackgroundWorkerHandle *handle = NULL;
static TimestampTz			   started_at = 0;

static BackgroundWorkerHandle *
Start(void)
{
	BackgroundWorker worker;

	ProcessDescribe(&worker, "taskq helper", CppAsString(taskq_helper_main));
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	snprintf(worker.bgw_name, BGW_MAXLEN, "taskq helper for database %u", MyDatabaseId);
	return ProcessStart(&worker);
}

/* Forget a helper that was started but did not come up. */
static void
GiveUpStart(TaskqDatabase *db)
{
	if (handle != NULL)
		pfree(handle);
	handle = NULL;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->helper_starts = false;
	LWLockRelease(&taskq_shared->lock);
}

/* Has the started helper ended, or failed to come up in time? */
static bool
HasFailed(const TaskqDatabase *db)
{
	pid_t pid;

	return handle != NULL && (GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED ||
							  (db->helper_starts && ClockHasPassed(started_at, COMES_UP_WITHIN)));
}

/*
 * Give batches of this work to the helper, and start it if necessary.  Returns
 * false if there is no slot for it, so that the scheduler must do them.
 */
bool
HelperTake(TaskqDatabase *db, uint32 work)
{
	bool there;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	there = db->helper_pid != 0 || db->helper_starts;
	if (there)
	{
		db->helper_work |= work;
		if (db->helper_latch != NULL)
			SetLatch(db->helper_latch);
	}
	LWLockRelease(&taskq_shared->lock);
	if (there)
		return true;
	if (!ClockHasPassed(started_at, RETRY_AFTER) || !SlotsForHelper(db))
		return false;
	started_at = ClockNow();
	if (handle != NULL)
		pfree(handle);
	handle = Start();
	if (handle == NULL)
	{
		GiveUpStart(db);
		return false;
	}
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->helper_work |= work;
	LWLockRelease(&taskq_shared->lock);
	return true;
}

/* Report what the helper has done, and what the scheduler must take back. */
HelperReport
HelperHear(TaskqDatabase *db)
{
	HelperReport report = { 0 };

	if (HasFailed(db))
		GiveUpStart(db);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	report.done = db->helper_done;
	report.failed = db->helper_failed;
	db->helper_done = db->helper_failed = 0;
	if (db->helper_pid == 0 && !db->helper_starts)
	{
		report.left = db->helper_work;
		db->helper_work = 0;
	}
	LWLockRelease(&taskq_shared->lock);
	return report;
}

/* the helper ------------------------------------------------------------------ */

static TaskqDatabase *my_db;

static void
Detach(int code, Datum arg)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	if (my_db->helper_pid == MyProcPid)
	{
		my_db->helper_pid = 0;
		my_db->helper_latch = NULL;
		if (my_db->helper_does >= 0)
			my_db->helper_work |= 1U << my_db->helper_does;
		my_db->helper_does = -1;
	}
	LWLockRelease(&taskq_shared->lock);
	ShmemWakeScheduler(my_db);
}

/* Become the helper; returns false if the scheduler no longer waits for one. */
static bool
Attach(void)
{
	bool attached = false;

	my_db = ShmemDatabase(MyDatabaseId, false);
	if (my_db == NULL)
		return false;
	before_shmem_exit(Detach, (Datum) 0);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	if (my_db->helper_pid == 0 && my_db->helper_starts && my_db->scheduler_pid != 0 && my_db->blocked == 0)
	{
		my_db->helper_pid = MyProcPid;
		my_db->helper_latch = MyLatch;
		my_db->helper_starts = false;
		attached = true;
	}
	LWLockRelease(&taskq_shared->lock);
	return attached;
}

static bool
MustLeave(void)
{
	return !taskq_enabled || my_db->blocked > 0 || my_db->scheduler_pid == 0 || SlotsAreShort();
}

/*
 * Choose the next work in turn, and remove it from the set.  If the same work is
 * added later, it is done again.  If there is none, stop being the helper and
 * return -1.
 */
static int
NextWork(void)
{
	static int last = 0;
	int		   chosen = -1;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	Assert(my_db->helper_pid == MyProcPid && my_db->helper_does == -1);
	for (int i = 1; i <= n_work && chosen < 0; i++)
		if ((my_db->helper_work & (1U << ((last + i) % n_work))) != 0)
			chosen = (last + i) % n_work;
	if (chosen < 0)
	{
		my_db->helper_pid = 0;
		my_db->helper_latch = NULL;
	}
	else
	{
		my_db->helper_work &= ~(1U << chosen);
		last = chosen;
	}
	my_db->helper_does = chosen;
	LWLockRelease(&taskq_shared->lock);
	return chosen;
}

/* Report the result of a batch to the scheduler. */
static void
NoteBatch(int i, bool more, bool failed)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	Assert(my_db->helper_pid == MyProcPid && my_db->helper_does == i);
	my_db->helper_does = -1;
	if (failed)
		my_db->helper_failed |= 1U << i;
	else if (more)
		my_db->helper_work |= 1U << i;
	else
		my_db->helper_done |= 1U << i;
	LWLockRelease(&taskq_shared->lock);
	if (!more)
		ShmemWakeScheduler(my_db);
}

static void
WorkLoop(void)
{
	int	 i;
	bool failed;

	while (!MustLeave() && (i = NextWork()) >= 0)
	{
		bool more = WorkDoBatch(i, &failed);

		NoteBatch(i, more, failed);
		pgstat_report_stat(false);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

void
taskq_helper_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	SetConfigOption("lock_timeout", LOCK_PATIENCE, PGC_USERSET, PGC_S_OVERRIDE);
	if (!Attach())
		proc_exit(0);
	SetConfigOption("application_name", "taskq helper", PGC_USERSET, PGC_S_OVERRIDE);
	WorkInit(my_db, true);
	WorkLoop();
	proc_exit(0);
}
