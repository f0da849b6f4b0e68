/*
 * operator.h
 *	  Put ended jobs back.
 */
#ifndef TASKQ_OPERATOR_H
#define TASKQ_OPERATOR_H

#include "taskq.h"

#include "job/job.h"
#include "store/store.h"

extern StoreLockResult PutBackEnded(Store *jobs, TaskqJob *job, bool wait);

#endif /* TASKQ_OPERATOR_H */
