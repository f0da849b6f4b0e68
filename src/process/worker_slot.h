/*
 * worker_slot.h
 *	  The slot of a background worker: what other processes see of it, and what it
 *	  leaves when it ends.
 */
#ifndef TASKQ_WORKER_SLOT_H
#define TASKQ_WORKER_SLOT_H

#include "taskq.h"

#include "process/worker.h"
#include "shared/shmem.h"

extern TaskqDatabase *WorkerAttach(const WorkerParams *of);
extern void			  WorkerEndsByError(void);
extern int			  WorkerRank(void);

#endif /* TASKQ_WORKER_SLOT_H */
