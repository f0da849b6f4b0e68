/*
 * retention.h
 *	  Removing finished jobs and events when their retention is over.
 */
#ifndef TASKQ_RETENTION_H
#define TASKQ_RETENTION_H

#include "taskq.h"

#include "utils/timestamp.h"

extern bool HistoryKeep(TimestampTz *next);
extern bool HistoryMaintain(bool wait);
extern void HistoryPrune(void);
extern bool EventKeep(TimestampTz *next);
extern void EventMaintain(bool wait);

#endif /* TASKQ_RETENTION_H */
