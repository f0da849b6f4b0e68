/*
 * prepared_end.h
 *	  What a prepared transaction has done to taskq, acted on when it ends.
 */
#ifndef TASKQ_PREPARED_END_H
#define TASKQ_PREPARED_END_H

#include "taskq.h"

#include "shared/shmem.h"

extern void PreparedEnded(void);
extern bool PreparedAny(const TaskqDatabase *db);
extern void PreparedLook(TaskqDatabase *db);

#endif /* TASKQ_PREPARED_END_H */
