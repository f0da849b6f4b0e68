/*
 * live.c
 *	  Read a live job without locking it.
 */
#include "taskq.h"

#include "utils/snapmgr.h"

#include "job/live.h"
#include "store/owner.h"
#include "store/store.h"

/* Set the values that point into the job's row to NULL.  The caller closes the table. */
static void
ForgetRow(TaskqJob *job)
{
	job->timeout = job->lease = NULL;
	job->worker_id = job->instance_id = job->payload = job->progress = job->tags = NULL;
	job->last_error = job->checkpoint = job->correlation_id = NULL;
}

/*
 * Read the live job of this id.  Returns false if there is none.  Of the values that
 * are not of a fixed size only tenant_id and group_key are read; the others are NULL.
 */
bool
LiveFind(int64 job_id, TaskqJob *job)
{
	OwnerScope scope;
	Store	   jobs;
	Snapshot   snapshot;
	bool	   found;

	OwnerEnter(&scope);
	snapshot = StoreSnapshot();
	StoreOpenRel(&jobs, REL_JOBS);
	found = StoreFindById(&jobs, CatalogRel(REL_JOBS_PKEY), job_id, snapshot);
	if (found)
	{
		JobRead(job, jobs.found);
		if (job->tenant_id != NULL)
			job->tenant_id = PG_DETOAST_DATUM_COPY(PointerGetDatum(job->tenant_id));
		if (job->group_key != NULL)
			job->group_key = PG_DETOAST_DATUM_COPY(PointerGetDatum(job->group_key));
		ForgetRow(job);
	}
	StoreClose(&jobs, false);
	UnregisterSnapshot(snapshot);
	OwnerLeave(&scope);
	return found;
}
