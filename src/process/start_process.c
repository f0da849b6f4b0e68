/*
 * start_process.c
 *	  Start a background worker of taskq.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "process/start_process.h"

/*
 * Describe a background worker of this type that runs a function of this library,
 * connects to a database, is not restarted by the postmaster, and whose start and
 * end are signalled to this process.  The caller adds the name and the argument.
 */
void
ProcessDescribe(BackgroundWorker *worker, const char *type, const char *function)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	worker->bgw_notify_pid = MyProcPid;
	strlcpy(worker->bgw_library_name, "taskq", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
}

/*
 * Ask the postmaster to start it.  Returns NULL if no background worker slot is free.
 * The handle lives until the caller frees it.
 */
BackgroundWorkerHandle *
ProcessStart(BackgroundWorker *worker)
{
	MemoryContext			old = MemoryContextSwitchTo(TopMemoryContext);
	BackgroundWorkerHandle *handle;
	bool					started = RegisterDynamicBackgroundWorker(worker, &handle);

	MemoryContextSwitchTo(old);
	return started ? handle : NULL;
}
