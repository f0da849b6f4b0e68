/*
 * queue.h
 *	  Queues: named lines of jobs.
 */
#ifndef TASKQ_QUEUE_H
#define TASKQ_QUEUE_H

#include "taskq.h"

#include "utils/array.h"
#include "utils/timestamp.h"

/*
 * A number that no queue has.  A transaction that changes the order of a queue notes a change
 * of the queue with this number, too.  It starts no jobs of the queue itself, as until its
 * commit they run as they did before.
 */
#define ORDER_OF(queue_id) (-(queue_id))

/* What happens to a job whose task type is not registered. */
typedef enum OnUnhandled
{
	UNHANDLED_WAIT,	 /* the job waits, and unroutable_jobs shows it */
	UNHANDLED_FAIL,	 /* the job is discarded at once */
	UNHANDLED_REJECT /* the enqueue fails */
} OnUnhandled;

/* What a start of a job of a group costs, if that is not TURN_COST (config/fair.h). */
typedef struct GroupCost
{
	int64 group;
	int32 cost;
} GroupCost;

typedef struct TaskqQueue
{
	int32		queue_id;
	char		name[TASKQ_NAME_MAX + 1];
	bool		paused;
	bool		keep_payload;
	int64		retain_completed; /* microseconds */
	int64		retain_other;
	OnUnhandled on_unhandled;
	bool		events; /* events of its jobs are recorded */
	int64		retain_events;
	bool		validate_payloads; /* payloads must fulfil the contracts of their handlers */
	bool		ordered;		   /* jobs of one group key run one at a time, in the order of their ids */
	bool		skips_delayed;	   /* a job that waits for its time is out of this order */
	int32		order_id;		   /* number of its limit, see route_limits.c; 0 if it is not ordered */
	int64		lined_up_to;	   /* waiting jobs of an ordered queue with lower ids are in its lanes */
	bool		fair;			   /* groups of jobs take turns */
	uint8		fair_by;		   /* the keys that make the groups, also if the queue is not fair */
	int			n_costs;
	GroupCost  *costs;	   /* of groups with a weight, in their order */
	int64		age_every; /* microseconds in which the priority of a waiting job improves by one; 0: never */
} TaskqQueue;

#define MIN_AGE_EVERY (USECS_PER_SEC / 1000)
#define MAX_AGE_EVERY (365 * USECS_PER_DAY)

extern bool UnhandledByName(const char *name, OnUnhandled *on_unhandled);
extern bool DelayedByName(const char *name, bool *skips_delayed);

/* Queues do not change until the transaction ends; see config/cache.h. */
extern const TaskqQueue	 *QueueByName(const char *name, bool missing_ok);
extern const TaskqQueue	 *QueueById(int32 queue_id);
extern const TaskqQueue **QueuesAll(int *n);
extern bool				  QueueAnyEvents(void);
extern void				  QueueCheckNames(ArrayType *names);

#endif /* TASKQ_QUEUE_H */
