/*
 * live.h
 *	  Read a live job without locking it.
 */
#ifndef TASKQ_LIVE_H
#define TASKQ_LIVE_H

#include "taskq.h"

#include "job/job.h"

extern bool LiveFind(int64 job_id, TaskqJob *job);

#endif /* TASKQ_LIVE_H */
