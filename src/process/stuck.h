/*
 * stuck.h
 *	  Finding runs that should have ended.
 */
#ifndef TASKQ_STUCK_H
#define TASKQ_STUCK_H

#include "taskq.h"

#include "utils/timestamp.h"

extern TimestampTz StuckLook(void);

#endif /* TASKQ_STUCK_H */
