/*
 * unregister.h
 *	  Workers that are to be given no more jobs.
 */
#ifndef TASKQ_UNREGISTER_H
#define TASKQ_UNREGISTER_H

#include "taskq.h"

#include "claim/register.h"

extern bool WorkerIsOf(Oid registered_by, Oid caller, const char *access);
extern bool WorkerIsOfOthers(const ExternalWorker *worker);
extern void WorkerCheckOwner(const char *worker_id, Oid registered_by, Oid caller, const char *what, const char *access);

#endif /* TASKQ_UNREGISTER_H */
