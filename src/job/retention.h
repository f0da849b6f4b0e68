/*
 * retention.h
 *	  Removing finished jobs and events when their time is over.
 */
#ifndef TASKQ_RETENTION_H
#define TASKQ_RETENTION_H

#include "taskq.h"

extern bool HistoryMaintain(bool wait);
extern void HistoryPrune(void);
extern void EventMaintain(bool wait);

#endif /* TASKQ_RETENTION_H */
