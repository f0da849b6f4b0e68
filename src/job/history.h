/*
 * history.h
 *	  The history, which keeps finished jobs.
 */
#ifndef TASKQ_HISTORY_H
#define TASKQ_HISTORY_H

#include "taskq.h"

#include "job/job.h"
#include "store/leaf.h"

extern const LeafTable history_table;

#define HISTORY_BATCH_LEAVES 4

/*
 * Rows of jobs that end, which are gathered to be inserted together.  A batch is on the
 * stack of a function that ends many jobs, which sets jobs->history to it, and calls
 * HistoryWriteBatch() before it returns, before it calls code of users, and before
 * anybody looks for one of these rows.  If an error ends the function, the rows are gone
 * with the subtransaction.
 */
typedef struct HistoryBatch
{
	int n;
	struct
	{
		Store	store;
		DateADT day;		/* on which the rows expire */
		DateADT expires_on; /* what they say: that day, or what the overflow leaf holds */
	} leaves[HISTORY_BATCH_LEAVES];
} HistoryBatch;

extern void			   HistoryInsert(Store *jobs, const TaskqJob *job, struct varlena *result, TimestampTz now);
extern void			   HistoryWriteBatch(Store *jobs);
extern bool			   HistoryFind(int64 job_id, TaskqJob *job, TaskqEnding *ending);
extern StoreLockResult HistorySupersede(int64 job_id, int life, bool wait);

#endif /* TASKQ_HISTORY_H */
