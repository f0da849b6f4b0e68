/*
 * events.h
 *	  What happened to jobs, for those who follow it.
 */
#ifndef TASKQ_EVENTS_H
#define TASKQ_EVENTS_H

#include "taskq.h"

#include "job/job.h"

extern void	 EventRecord(const TaskqJob *job, char from, struct varlena *result, TimestampTz now);
extern void	 EventRecordProgress(const TaskqJob *job, TimestampTz now);
extern int64 EventHorizon(int64 after);
extern void	 EventMaintain(bool wait);

#endif /* TASKQ_EVENTS_H */
