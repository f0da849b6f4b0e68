/*
 * launcher.c
 *	  The launcher: one process per cluster.
 *
 * It connects to no user database, only to the shared catalogs.  It makes sure that
 * each database with taskq has a scheduler.  For an unknown database it starts a
 * scheduler as a probe, which stays if taskq is installed there and else leaves
 * (probe.c).  If there are more databases than slots for schedulers, they take
 * turns (turns.c).  The launcher looks again when CREATE EXTENSION or the end of
 * DDL requests it (TaskqDatabase.probe), when a scheduler has ended, and when there
 * is a new database (known.c).  While a database has no scheduler, the launcher
 * watches the clocks for its leases (watch.c).
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
#include "base/compat.h"
#include "base/guc.h"
#include "process/known.h"
#include "process/launcher.h"
#include "process/turns.h"
#include "shared/blame.h"
#include "shared/shmem.h"
#include "shared/watch.h"

PGDLLEXPORT void taskq_launcher_main(Datum arg);

#define LIST_EVERY (60 * 1000L) /* ms; new databases are rare */

/* Register the launcher; called while the library is preloaded. */
void
LauncherRegister(void)
{
	BackgroundWorker worker = { 0 };

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "taskq", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, CppAsString(taskq_launcher_main), BGW_MAXLEN);
	strlcpy(worker.bgw_name, "taskq launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "taskq launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static void
Detach(int code, Datum arg)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	taskq_shared->launcher_latch = NULL;
	taskq_shared->launcher_pid = 0;
	LWLockRelease(&taskq_shared->lock);
}

static void
Attach(void)
{
	before_shmem_exit(Detach, (Datum) 0);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	taskq_shared->launcher_latch = MyLatch;
	taskq_shared->launcher_pid = MyProcPid;
	if (taskq_shared->up_since == 0)
	{
		taskq_shared->up_since = ClockNow();
		BlameRecoveryOver();
	}
	LWLockRelease(&taskq_shared->lock);
}

void
taskq_launcher_main(Datum arg)
{
	static uint32 event = 0;
	TimestampTz	  listed_at = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	KnownInit();
	Attach();

	for (;;)
	{
		TimestampTz again = DT_NOEND;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (taskq_enabled)
		{
			if (KnownTakeProbeRequests() || ClockHasPassed(listed_at, LIST_EVERY * 1000))
			{
				listed_at = ClockNow();
				KnownList();
				KnownForgetDropped();
			}
			again = TurnsStartNeeded();
		}
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 WatchOthersSleep(ClockMillisecondsUntil(again, LIST_EVERY)),
						 WaitEvent_compat(&event, "TaskqLauncherMain"));
		ResetLatch(MyLatch);
		WatchOthersNote();
	}
}
