/*
 * wait.h
 *	  Sleeping until there is something to claim.
 */
#ifndef TASKQ_WAIT_H
#define TASKQ_WAIT_H

#include "taskq.h"

#include "shared/fair_share.h"

/* The queue of a route, if routes are not simply in the order of their jobs. */
typedef struct RouteTurn
{
	int32 queue_id;
	bool  fair; /* its groups take turns */
} RouteTurn;

/* A worker's routes, and what it has to know of their queues to put them in order. */
typedef struct RouteSet
{
	int		   n;
	int32	  *ids;
	int		  *ranks;
	int64	  *ages;  /* age_every of each, or NULL if no queue has one */
	RouteTurn *turns; /* NULL: no queue is fair or has a weight */
	ShareScope share; /* the queues take turns by their weights in this scope; SHARE_NONE: they do not */
} RouteSet;

/* How a process that waits watches for moments. */
typedef struct WaitWatch
{
	void (*begin)(void);			  /* it waits from now on, and is about to look for jobs */
	long (*sleep)(long milliseconds); /* returns how long to sleep, at most so long; 0: look again */
	void (*end)(void);				  /* the wait has ended; cannot fail */
} WaitWatch;

extern void WaitAlsoWatch(const WaitWatch *watch);
extern void WaitBegin(const RouteSet *routes, uint64 worker_key, uint64 limit_key);
extern void WaitCheckClient(void);
extern void WaitForEvents(void);
extern void WaitForEventsEnd(void);
extern void WaitSleep(long milliseconds);
extern bool WaitEnd(void);
extern void WaitEndOfClaim(bool failed);

#endif /* TASKQ_WAIT_H */
