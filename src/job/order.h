/*
 * order.h
 *	  The order of the jobs of a group in an ordered queue.
 */
#ifndef TASKQ_ORDER_H
#define TASKQ_ORDER_H

#include "taskq.h"

#include "job/job.h"

#define MAX_AHEAD 1000 /* jobs ahead are counted up to here */

/* The first job of a lane in which jobs are in order. */
typedef struct OrderFirst
{
	JobKey			key;
	int32			route_id;
	ItemPointerData tid;
} OrderFirst;

extern bool OrderHolds(int32 route_id, int64 lane);
extern bool OrderIsStray(int32 route_id, int64 lane);
extern bool OrderLinedUp(int32 route_id, int64 job_id);
extern bool OrderFind(int64 lane, OrderFirst *first);
extern int	OrderCount(int64 lane, int64 job_id, int most);

#endif /* TASKQ_ORDER_H */
