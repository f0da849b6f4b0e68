/*
 * register.h
 *	  External workers: who they are and what they take.
 */
#ifndef TASKQ_REGISTER_H
#define TASKQ_REGISTER_H

#include "taskq.h"

#include "eligible.h"

typedef struct ExternalWorker
{
	TaskqWorker base;
	int			max_concurrent_jobs;	/* 0: no limit */
	int64		lease;			/* or NO_MICROSECONDS */
	bool		draining;
} ExternalWorker;

extern bool WorkerHold(const char *worker_id);
extern void WorkerRelease(const char *worker_id);
extern void WorkerForClaim(const char *worker_id, ExternalWorker *worker);
extern TimestampTz WorkerHasClaimed(const char *worker_id, const ExternalWorker *worker);
extern void WorkerBeat(const char *worker_id);
extern int64 WorkerSeen(struct varlena *worker_id);
extern void WorkerForgetOld(void);

#endif							/* TASKQ_REGISTER_H */
