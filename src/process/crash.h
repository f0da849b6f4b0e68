/*
 * crash.h
 *	  Handling the jobs that crashed the server.
 */
#ifndef TASKQ_CRASH_H
#define TASKQ_CRASH_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz CrashDue(const WorkPast *past);
extern void		   CrashLook(WorkResult *result);

#endif /* TASKQ_CRASH_H */
