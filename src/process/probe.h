/*
 * probe.h
 *	  Starting schedulers, each of which begins as a probe of its database.
 */
#ifndef TASKQ_PROBE_H
#define TASKQ_PROBE_H

#include "taskq.h"

#include "process/known.h"

#define RETRY_AT_MOST (60 * USECS_PER_SEC)

extern void ProbeCheckStarted(void);
extern bool ProbeStart(Known *entry);

#endif /* TASKQ_PROBE_H */
