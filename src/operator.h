/*
 * operator.h
 *	  What operators do with jobs that do not run.
 */
#ifndef TASKQ_OPERATOR_H
#define TASKQ_OPERATOR_H

#include "taskq.h"

#include "job.h"
#include "store.h"

extern bool PutBackEnded(Store *jobs, TaskqJob *job);

#endif							/* TASKQ_OPERATOR_H */
