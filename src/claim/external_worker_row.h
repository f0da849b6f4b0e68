/*
 * external_worker_row.h
 *	  Rows of taskq.external_workers.
 */
#ifndef TASKQ_EXTERNAL_WORKER_ROW_H
#define TASKQ_EXTERNAL_WORKER_ROW_H

#include "taskq.h"

#include "claim/external_worker.h"
#include "store/columns.h"
#include "store/store.h"

extern bool		   WorkerFindRow(Store *store, const WorkerName *name);
extern bool		   WorkerFindRowAsOf(Store *store, const WorkerName *name, Snapshot snapshot);
extern void		   WorkerInsertRow(Store *store, const WorkerName *name, const ExternalWorker *worker, bool implicit, Oid registered_by, TimestampTz registered_at, TimestampTz now);
extern int64	   WorkerLife(int64 lease);
extern int64	   WorkerLeaseOf(TupleTableSlot *slot);
extern TimestampTz WorkerLivesUntil(TupleTableSlot *slot);
extern Oid		   WorkerIdOfOthers(Store *store, const WorkerName *name, Oid caller, AccessKind kind, bool *has_row);
extern bool		   WorkerIdIsOfOthers(const WorkerName *name, Oid caller);
extern bool		   WorkerHasInstances(const char *worker_id, bool by_call);
extern void		   WorkerHoldId(const WorkerName *name);
extern void		   WorkerReleaseId(const WorkerName *name);

#endif /* TASKQ_EXTERNAL_WORKER_ROW_H */
