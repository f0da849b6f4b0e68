/*
 * worker_slot.c
 *	  The slot of a background worker: what other processes see of it, and what it
 *	  leaves when it ends.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/ipc.h"

#include "base/clock.h"
#include "base/memory.h"
#include "process/worker_slot.h"
#include "shared/blame.h"

static WorkerParams	  params;
static TaskqSlot	 *slot;
static TaskqDatabase *db;
static bool			  ended_by_error = false;

/* Leave a note of the run that SIGTERM ended, for the scheduler to record. */
static void
ReportTermination(void)
{
	Assert(slot->job_id != 0 && slot->epoch != 0);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqTermination *termination = &taskq_terminations[i];

		if (termination->job_id != 0)
			continue;
		termination->dboid = params.dboid;
		termination->job_id = slot->job_id;
		termination->epoch = slot->epoch;
		termination->started_at = slot->job_started_at;
		termination->timed_out = slot->timed_out;
		strlcpy(termination->worker_id, slot->worker_id, WORKER_ID_SIZE);
		pg_atomic_fetch_add_u32(&db->n_terminations, 1);
		break;
	}
	LWLockRelease(&taskq_shared->lock);
}

/*
 * Report that an error has ended this worker, so that the pool's next one does not
 * start at once.
 */
static void
ReportFailure(void)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_FAILED_POOLS; i++)
		if (db->failed_pools[i][0] == '\0')
		{
			strlcpy(db->failed_pools[i], params.pool, sizeof(db->failed_pools[i]));
			break;
		}
	LWLockRelease(&taskq_shared->lock);
}

/* An error ends this worker. */
void
WorkerEndsByError(void)
{
	ended_by_error = true;
}

/*
 * Clean up at exit.  This runs before the transaction is aborted and the job's row
 * is unlocked.
 */
static void
Detach(int code, Datum arg)
{
	if (ended_by_error)
		ReportFailure();
	MemoryUnlimit();
	if (slot->job_id != 0 && (slot->timed_out || (slot->interruptible && db->blocked == 0 && !slot->leave)))
		ReportTermination();
	BlameEnd();
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->worker = false;
	slot->job_id = 0;
	LWLockRelease(&slot->lock);
	ShmemWakeScheduler(db);
}

/*
 * Make this worker visible to other processes.  Returns the entry of its database.
 * Exits if there is no room for one.
 */
TaskqDatabase *
WorkerAttach(const WorkerParams *of)
{
	params = *of;
	db = ShmemDatabase(params.dboid, true);
	if (db == NULL)
		proc_exit(0);
	slot = ShmemMySlot();
	before_shmem_exit(Detach, (Datum) 0);
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->leave = false;
	slot->job_id = 0;
	slot->completed = slot->failed = 0;
	slot->start_mark = params.start_mark;
	slot->started_at = ClockNow();
	strlcpy(slot->pool, params.pool, sizeof(slot->pool));
	slot->role = params.role;
	snprintf(slot->worker_id, sizeof(slot->worker_id), "%s#%d", params.pool, MyProcPid);
	slot->worker = true;
	LWLockRelease(&slot->lock);
	BlameAttach();
	pg_atomic_write_u32(&db->start_marks[params.start_mark], 1);
	return db;
}

/* Return how many workers of this pool are older than this one. */
int
WorkerRank(void)
{
	int rank = 0;

	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *other = &taskq_slots[i];

		LWLockAcquire(&other->lock, LW_SHARED);
		if (other->worker && other != slot && other->dboid == params.dboid && !other->leave &&
			strcmp(other->pool, params.pool) == 0 &&
			(other->started_at < slot->started_at ||
			 (other->started_at == slot->started_at && other < slot)))
			rank++;
		LWLockRelease(&other->lock);
	}
	return rank;
}
