/*
 * stuck.h
 *	  Runs that were to end and do not.
 */
#ifndef TASKQ_STUCK_H
#define TASKQ_STUCK_H

#include "taskq.h"

#include "utils/timestamp.h"

extern TimestampTz StuckLook(void);

#endif /* TASKQ_STUCK_H */
