/*
 * prepared.h
 *	  The prepared transactions that have something to tell.
 */
#ifndef TASKQ_PREPARED_H
#define TASKQ_PREPARED_H

#include "taskq.h"

#include "shared/shmem.h"

extern void PreparedNote(void);
extern void PreparedAdd(TaskqDatabase *db, TransactionId xid);

#endif /* TASKQ_PREPARED_H */
