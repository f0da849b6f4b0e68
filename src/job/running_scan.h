/*
 * running_scan.h
 *	  Scan the running rows of one instance of a worker or of all.
 */
#ifndef TASKQ_RUNNING_SCAN_H
#define TASKQ_RUNNING_SCAN_H

#include "taskq.h"

#include "access/genam.h"
#include "utils/snapshot.h"

#include "job/job.h"
#include "shared/worker_name.h"

typedef struct RunningScan
{
	Relation		heap;
	Relation		index;
	Snapshot		snapshot;
	const char	   *worker_id; /* or NULL: of all workers */
	IndexScanDesc	scan;
	TupleTableSlot *row; /* of the job that was returned last */
} RunningScan;

extern void RunningScanBegin(RunningScan *scan, const WorkerName *worker, int64 after);
extern bool RunningScanNext(RunningScan *scan, TaskqJob *job);
extern void RunningScanEnd(RunningScan *scan);

#endif /* TASKQ_RUNNING_SCAN_H */
