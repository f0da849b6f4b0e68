/*
 * unhandled.h
 *	  Treat jobs whose task type is not registered.
 */
#ifndef TASKQ_UNHANDLED_H
#define TASKQ_UNHANDLED_H

#include "taskq.h"

#include "config/queue.h"
#include "job/job.h"

extern void RejectIfUnhandled(const TaskqQueue *queue, const char *task_type);
extern bool DiscardIfUnhandled(Store *jobs, TaskqJob *job, const int64 *ids, const Datum *payloads, int n);
extern bool UnhandledSweep(void);

#endif /* TASKQ_UNHANDLED_H */
