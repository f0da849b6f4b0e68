/*
 * fill.h
 *	  Starting the workers that pools lack.
 */
#ifndef TASKQ_FILL_H
#define TASKQ_FILL_H

#include "taskq.h"

#include "config/eligible.h"
#include "shared/shmem.h"

/* All routes of the database, and how many jobs of each are due. */
typedef struct DueJobs
{
	RouteSet	routes;
	int		   *due;
	TimestampTz next_due;
} DueJobs;

extern TimestampTz FillPools(TaskqDatabase *database, const DueJobs *jobs, bool *busy);
extern bool		   FillIsPending(void);

#endif /* TASKQ_FILL_H */
