/*
 * running_scan.h
 *	  Scan the running rows of one worker or of all.
 */
#ifndef TASKQ_RUNNING_SCAN_H
#define TASKQ_RUNNING_SCAN_H

#include "taskq.h"

#include "access/genam.h"
#include "utils/snapshot.h"

#include "job/job.h"

typedef struct RunningScan
{
	Relation		heap;
	Relation		index;
	Snapshot		snapshot;
	IndexScanDesc	scan;
	TupleTableSlot *row; /* of the job that was returned last */
} RunningScan;

extern void RunningScanBegin(RunningScan *scan, const char *worker_id, int64 after);
extern bool RunningScanNext(RunningScan *scan, TaskqJob *job);
extern void RunningScanEnd(RunningScan *scan);

#endif /* TASKQ_RUNNING_SCAN_H */
