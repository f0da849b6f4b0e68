/*
 * worker_name.h
 *	  The name of an external worker: its id, and which of its instances.
 */
#ifndef TASKQ_WORKER_NAME_H
#define TASKQ_WORKER_NAME_H

#include "taskq.h"

/*
 * An instance is one process of a worker.  Registration, capacity and liveness are the
 * instance's.  The default instance has the worker's id.  instance_id is then the same
 * pointer as worker_id.
 */
typedef struct WorkerName
{
	const char *worker_id;
	const char *instance_id;
	uint64		key; /* for locks and wake-ups */
} WorkerName;

extern WorkerName  WorkerNameOf(const char *worker_id, const char *instance_id);
extern uint64	   WorkerKey(struct varlena *worker_id, struct varlena *instance_id);
extern bool		   WorkerNamesEqual(const WorkerName *a, const WorkerName *b);
extern const char *WorkerNameText(const WorkerName *worker);

static inline bool
IsDefaultInstance(const WorkerName *worker)
{
	return worker->instance_id == worker->worker_id;
}

#endif /* TASKQ_WORKER_NAME_H */
