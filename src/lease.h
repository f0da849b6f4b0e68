/*
 * lease.h
 *	  Until when a claim holds without a heartbeat.
 */
#ifndef TASKQ_LEASE_H
#define TASKQ_LEASE_H

#include "taskq.h"

#include "job.h"

extern int64 LeaseLength(const TaskqJob *job, int64 given, int64 worker_lease);
extern TimestampTz LeaseExpireOverdue(void);
extern int	LeaseReleaseAll(const char *worker_id);

#endif							/* TASKQ_LEASE_H */
