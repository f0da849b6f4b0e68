/*
 * recall.h
 *	  Finding the rows that this process has claimed without an index.
 */
#ifndef TASKQ_RECALL_H
#define TASKQ_RECALL_H

#include "taskq.h"

#include "job/transition.h"
#include "store/store.h"

extern void RecallObserve(const Transition *transition);
extern bool RecallFind(Store *jobs, int64 job_id, Snapshot snapshot);

#endif /* TASKQ_RECALL_H */
