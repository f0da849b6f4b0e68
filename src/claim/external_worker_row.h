/*
 * external_worker_row.h
 *	  Rows of taskq.external_workers.
 */
#ifndef TASKQ_EXTERNAL_WORKER_ROW_H
#define TASKQ_EXTERNAL_WORKER_ROW_H

#include "taskq.h"

#include "claim/external_worker.h"
#include "store/store.h"

/* Columns of taskq.external_workers, in order. */
enum
{
	W_WORKER_ID = 1,
	W_TASK_TYPES,
	W_QUEUES,
	W_CAPABILITIES,
	W_MAX_CONCURRENT_JOBS,
	W_LEASE,
	W_IMPLICIT,
	W_DRAINING,
	W_REGISTERED_BY,
	W_REGISTERED_AT,
	W_LAST_SEEN,
	W_ENDED_AT
};

extern bool	 WorkerFindRow(Store *store, const char *worker_id);
extern bool	 WorkerFindRowAsOf(Store *store, const char *worker_id, Snapshot snapshot);
extern void	 WorkerInsertRow(Store *store, const char *worker_id, const ExternalWorker *worker, bool implicit, Oid registered_by, TimestampTz now);
extern int64 WorkerLife(int64 lease);
extern int64 WorkerLeaseOf(TupleTableSlot *slot);

#endif /* TASKQ_EXTERNAL_WORKER_ROW_H */
