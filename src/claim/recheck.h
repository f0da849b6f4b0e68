/*
 * recheck.h
 *	  Checking the ready list against the index of waiting jobs.
 */
#ifndef TASKQ_RECHECK_H
#define TASKQ_RECHECK_H

#include "taskq.h"

#include "utils/timestamp.h"

extern TimestampTz RecheckReadyList(void);

#endif /* TASKQ_RECHECK_H */
