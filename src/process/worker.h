/*
 * worker.h
 *	  The parameters of a background worker.
 */
#ifndef TASKQ_WORKER_H
#define TASKQ_WORKER_H

#include "taskq.h"

#include "postmaster/bgworker.h"

typedef struct WorkerParams
{
	Oid	 dboid;
	Oid	 role;
	int	 start_mark;
	char pool[TASKQ_NAME_MAX + 1];
} WorkerParams;

StaticAssertDecl(sizeof(WorkerParams) <= BGW_EXTRALEN, "WorkerParams must fit into bgw_extra");

#endif /* TASKQ_WORKER_H */
