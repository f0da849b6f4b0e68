/*
 * job_batch.c
 *	  Rows of the history and of the log of events, gathered by a function that changes
 *	  many jobs.
 */
#include "taskq.h"

#include "job/job_batch.h"

/* Insert the rows that were gathered, if there is a batch. */
void
JobBatchWrite(Store *jobs)
{
	if (jobs->batch == NULL)
		return;
	LeafBatchWrite(&jobs->batch->history);
	LeafBatchWrite(&jobs->batch->events);
}
