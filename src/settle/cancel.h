/*
 * cancel.h
 *	  Act on requests to cancel a job.
 */
#ifndef TASKQ_CANCEL_H
#define TASKQ_CANCEL_H

#include "taskq.h"

extern bool CancelSweep(int64 *after);

#endif /* TASKQ_CANCEL_H */
