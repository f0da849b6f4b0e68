/*
 * wait.h
 *	  Sleeping until a job of one's routes is committed.
 */
#ifndef TASKQ_WAIT_H
#define TASKQ_WAIT_H

#include "taskq.h"

/* Its routes, by the rank of their queues. */
typedef struct RouteSet
{
	int	   n;
	int32 *ids;
	int	  *ranks;
} RouteSet;

extern void WaitBegin(const RouteSet *routes, uint64 worker_key, bool at_limit);
extern void WaitCheckClient(void);
extern void WaitForEvents(void);
extern void WaitForEventsEnd(void);
extern void WaitSleep(long milliseconds);
extern bool WaitEnd(void);
extern void WaitEndOfClaim(void);

#endif /* TASKQ_WAIT_H */
