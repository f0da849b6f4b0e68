/*
 * helper.h
 *	  The process that does batches of work beside the scheduler.
 */
#ifndef TASKQ_HELPER_H
#define TASKQ_HELPER_H

#include "taskq.h"

#include "shared/shmem.h"

/* Sets of work, by their place in work_table. */
typedef struct HelperNews
{
	uint32 done;
	uint32 failed;
	uint32 left; /* to be done by somebody else */
} HelperNews;

extern bool		  HelperTake(TaskqDatabase *db, uint32 work);
extern HelperNews HelperHear(TaskqDatabase *db);

#endif /* TASKQ_HELPER_H */
