/*
 * recheck.h
 *	  Having a second look at what the ready list says is complete.
 */
#ifndef TASKQ_RECHECK_H
#define TASKQ_RECHECK_H

#include "taskq.h"

#include "utils/timestamp.h"

extern TimestampTz RecheckReadyList(void);

#endif /* TASKQ_RECHECK_H */
