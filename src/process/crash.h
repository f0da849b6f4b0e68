/*
 * crash.h
 *	  What becomes of jobs that crashed the server.
 */
#ifndef TASKQ_CRASH_H
#define TASKQ_CRASH_H

#include "taskq.h"

#include "shared/blame.h"

extern bool CrashRecord(const BlameSuspect *suspect);
extern bool CrashMayRunNow(const BlameSuspect *suspect);

#endif /* TASKQ_CRASH_H */
