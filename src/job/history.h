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

extern void			   HistoryInsert(Store *jobs, const TaskqJob *job, struct varlena *result, TimestampTz now);
extern bool			   HistoryFind(int64 job_id, TaskqJob *job, TaskqEnding *ending);
extern StoreLockResult HistorySupersede(int64 job_id, int life, bool wait);

#endif /* TASKQ_HISTORY_H */
