/*
 * fair.c
 *	  Fair queues: groups of jobs that take turns, and their weights.
 *
 * A group is the jobs of a queue that have the same values of the keys by which the queue
 * is fair.  It has the number that the lane of these keys and values has, so that is where
 * its jobs wait if no limit asks for other keys.
 */
#include "taskq.h"

#include "utils/jsonb.h"

#include "config/fair.h"
#include "config/weight.h"
#include "shared/shmem.h"

/* Tell the user that jobs of a fair queue wait while the library is not preloaded. */
void
FairWarnWithoutPreload(const char *queue)
{
	if (!ShmemPresent())
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("jobs of fair queue \"%s\" do not start, because taskq is not preloaded", queue),
				 errhint("Put shared_preload_libraries = 'taskq' into postgresql.conf and restart the server.")));
}

/* Read the keys by which a queue is fair.  Returns 0 if the argument is NULL. */
uint8
FairByArg(FunctionCallInfo fcinfo, int n)
{
	uint8 keys = ArgKeys(fcinfo, n, "fair_by", "a queue cannot be fair by");

	if (keys == 0 && !PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fair_by is empty"),
				 errhint("The keys are tenant_id and group_key. To let jobs start in their order again, set fair to false.")));
	return keys;
}

/* Check the weights of the values of these keys, and return them. */
struct varlena *
FairWeightsArg(FunctionCallInfo fcinfo, int n, uint8 fair_by)
{
	KeyNumber *costs;
	int		   count;

	return WeightsArg(fcinfo, n, fair_by, "weights",
					  "Write {\"acme\": 3} for a queue that is fair by one key, and {\"acme\": {\"order-1\": 3}} for one that is fair by tenant_id and group_key.",
					  &costs, &count);
}

static int
CompareGroups(const void *a, const void *b)
{
	int64 left = ((const GroupCost *) a)->group;
	int64 right = ((const GroupCost *) b)->group;

	return (left > right) - (left < right);
}

/*
 * Read the weights of a queue.  alter_queue() has checked them; what somebody has written
 * by hand is left out if it is wrong.
 */
void
FairReadWeights(TaskqQueue *queue, struct varlena *weights)
{
	KeyNumber  *costs;
	const char *problem;

	if (!WeightsRead(weights, queue->fair_by, &costs, &queue->n_costs, &problem) || queue->n_costs == 0)
	{
		queue->n_costs = 0;
		return;
	}
	queue->costs = palloc(sizeof(GroupCost) * queue->n_costs);
	for (int i = 0; i < queue->n_costs; i++)
		queue->costs[i] = (GroupCost){ LaneOf(queue->fair_by, &costs[i].keys), costs[i].number };
	pfree(costs);
	qsort(queue->costs, queue->n_costs, sizeof(GroupCost), CompareGroups);
}

/* Return what a start of a job of the group costs it. */
int32
FairCost(const TaskqQueue *queue, int64 group)
{
	GroupCost		 wanted = { .group = group };
	const GroupCost *found = NULL;

	if (queue->n_costs > 0)
		found = bsearch(&wanted, queue->costs, queue->n_costs, sizeof(GroupCost), CompareGroups);
	return found == NULL ? TURN_COST : found->cost;
}
