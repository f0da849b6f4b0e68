/*
 * prepared.h
 *	  The prepared transactions after whose end other processes must look for changes.
 */
#ifndef TASKQ_PREPARED_H
#define TASKQ_PREPARED_H

#include "taskq.h"

#include "shared/shmem.h"

extern void PreparedNote(void);
extern void PreparedAdd(TaskqDatabase *db, TransactionId xid);

#endif /* TASKQ_PREPARED_H */
