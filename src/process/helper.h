/*
 * helper.h
 *	  The helper process, which does batches of work for the scheduler.
 */
#ifndef TASKQ_HELPER_H
#define TASKQ_HELPER_H

#include "taskq.h"

#include "shared/shmem.h"

/* Sets of work, as bit masks of the places in work_table. */
typedef struct HelperReport
{
	uint32 done;
	uint32 failed;
	uint32 left; /* left undone by a helper that has gone */
} HelperReport;

extern bool			HelperTake(TaskqDatabase *db, uint32 work);
extern HelperReport HelperHear(TaskqDatabase *db);

#endif /* TASKQ_HELPER_H */
