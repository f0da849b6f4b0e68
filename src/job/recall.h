/*
 * recall.h
 *	  Rows that this process has claimed, found again without an index.
 */
#ifndef TASKQ_RECALL_H
#define TASKQ_RECALL_H

#include "taskq.h"

#include "store/store.h"

extern void RecallNote(int64 job_id, const ItemPointerData *tid);
extern bool RecallFind(Store *jobs, int64 job_id, Snapshot snapshot);

#endif /* TASKQ_RECALL_H */
