/*
 * cancel.h
 *	  Requests to cancel a job that is running.
 */
#ifndef TASKQ_CANCEL_H
#define TASKQ_CANCEL_H

#include "taskq.h"

extern bool CancelSweep(int64 *after);

#endif /* TASKQ_CANCEL_H */
