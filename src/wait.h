/*
 * wait.h
 *	  Sleeping until a job of one's routes is committed.
 */
#ifndef TASKQ_WAIT_H
#define TASKQ_WAIT_H

#include "taskq.h"

#include "eligible.h"

extern void WaitBegin(const RouteSet *routes, uint64 worker_key, bool at_limit);
extern void WaitCheckClient(void);
extern void WaitForEvents(void);
extern void WaitForEventsEnd(void);
extern void WaitSleep(long milliseconds);
extern bool WaitEnd(void);
extern void WaitEndOfClaim(void);

#endif							/* TASKQ_WAIT_H */
