/*
 * worker_owner.h
 *	  Which roles may act for an external worker.
 */
#ifndef TASKQ_WORKER_OWNER_H
#define TASKQ_WORKER_OWNER_H

#include "taskq.h"

#include "job/job.h"
#include "store/store.h"

extern bool WorkerFindRow(Store *store, const char *worker_id);
extern bool WorkerFindRowAsOf(Store *store, const char *worker_id, Snapshot snapshot);
extern bool WorkerIsOf(Oid registered_by, Oid caller, const char *access);
extern void WorkerCheckOwner(const char *worker_id, Oid registered_by, Oid caller, const char *what, const char *access);
extern void WorkerCheckHolder(const TaskqJob *job, Oid caller);

#endif /* TASKQ_WORKER_OWNER_H */
