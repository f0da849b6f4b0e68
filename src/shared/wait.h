/*
 * wait.h
 *	  Sleeping until there is something to claim.
 */
#ifndef TASKQ_WAIT_H
#define TASKQ_WAIT_H

#include "taskq.h"

/* A worker's routes, and what it has to know of their queues to put them in order. */
typedef struct RouteSet
{
	int	   n;
	int32 *ids;
	int	  *ranks;
	int64 *ages; /* age_every of each, or NULL if no queue has one */
} RouteSet;

extern void WaitBegin(const RouteSet *routes, uint64 worker_key, uint64 limit_key);
extern void WaitCheckClient(void);
extern void WaitForEvents(void);
extern void WaitForEventsEnd(void);
extern void WaitSleep(long milliseconds);
extern bool WaitEnd(void);
extern void WaitEndOfClaim(bool failed);

#endif /* TASKQ_WAIT_H */
