/*
 * lost_run.h
 *	  A run in the server that ended without being settled.
 */
#ifndef TASKQ_LOST_RUN_H
#define TASKQ_LOST_RUN_H

#include "taskq.h"

#include "job/job.h"

extern bool LostRunRestore(TaskqJob *job, int64 epoch, TimestampTz started_at, const char *worker_id);

#endif /* TASKQ_LOST_RUN_H */
