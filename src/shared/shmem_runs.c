/*
 * shmem_runs.c
 *	  Which processes taskq has in a database, and which jobs they run.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "shared/shmem.h"

/* Count taskq's own processes in a database. */
int
ShmemCountProcesses(Oid dboid)
{
	TaskqDatabase *db = ShmemDatabase(dboid, false);
	int			   n = 0;

	if (db == NULL)
		return 0;
	if (db->scheduler_pid != 0)
		n++;
	if (db->helper_pid != 0)
		n++;
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		LWLockAcquire(&taskq_slots[i].lock, LW_SHARED);
		if (taskq_slots[i].worker && taskq_slots[i].dboid == dboid)
			n++;
		LWLockRelease(&taskq_slots[i].lock);
	}
	return n;
}

/* Does a background worker of this database run this claim? */
bool
ShmemRuns(int64 job_id, int64 epoch)
{
	bool runs = false;

	if (taskq_shared == NULL)
		return false;
	for (int i = 0; i < taskq_shared->n_slots && !runs; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		LWLockAcquire(&slot->lock, LW_SHARED);
		runs = slot->worker && slot->dboid == MyDatabaseId && slot->job_id == job_id && slot->epoch == epoch;
		LWLockRelease(&slot->lock);
	}
	return runs;
}

/* Does a background worker of this database run this job, under any epoch? */
bool
ShmemRunsJob(int64 job_id)
{
	bool runs = false;

	for (int i = 0; taskq_shared != NULL && i < taskq_shared->n_slots && !runs; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		LWLockAcquire(&slot->lock, LW_SHARED);
		runs = slot->worker && slot->dboid == MyDatabaseId && slot->job_id == job_id;
		LWLockRelease(&slot->lock);
	}
	return runs;
}

/* Must a job not be claimed, because the end of its run has not been recorded yet? */
bool
ShmemTerminationPending(int64 job_id)
{
	TaskqDatabase *db = ShmemMyDatabase();
	bool		   pending = false;

	if (db == NULL || pg_atomic_read_u32(&db->n_terminations) == 0)
		return false;
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	for (int i = 0; i < taskq_shared->n_slots; i++)
		if (taskq_terminations[i].dboid == MyDatabaseId && taskq_terminations[i].job_id == job_id)
			pending = true;
	LWLockRelease(&taskq_shared->lock);
	return pending;
}
