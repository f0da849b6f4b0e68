/*
 * job_batch.h
 *	  Rows of the history and of the log of events, gathered by a function that changes
 *	  many jobs.
 */
#ifndef TASKQ_JOB_BATCH_H
#define TASKQ_JOB_BATCH_H

#include "taskq.h"

#include "store/leaf.h"
#include "store/store.h"

/*
 * A batch is on the stack of a function that changes many jobs, which sets jobs->batch to
 * it, and calls JobBatchWrite() before it returns, before it calls code of users, and
 * before anybody looks for one of these rows.  If an error ends the function, the rows are
 * gone with the subtransaction.
 */
typedef struct JobBatch
{
	LeafBatch history;
	LeafBatch events;
} JobBatch;

extern void JobBatchWrite(Store *jobs);

#endif /* TASKQ_JOB_BATCH_H */
