/*
 * start_workers.h
 *	  Starting the workers that pools lack.
 */
#ifndef TASKQ_START_WORKERS_H
#define TASKQ_START_WORKERS_H

#include "taskq.h"

#include "config/eligible.h"
#include "shared/shmem.h"

/* All routes of the database, and the number of due jobs of each. */
typedef struct DueJobs
{
	RouteSet	routes;
	int		   *due;
	TimestampTz next_due;
} DueJobs;

extern TimestampTz StartWorkers(TaskqDatabase *database, const DueJobs *jobs, bool *busy);
extern bool		   WorkersArePending(void);

#endif /* TASKQ_START_WORKERS_H */
