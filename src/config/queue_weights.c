/*
 * queue_weights.c
 *	  The weights that a pool or a worker has for queues.
 *
 * Without them, a worker takes the queues in the order of its list.  With them, the queues
 * take turns (claim/heads_order.c).
 */
#include "taskq.h"

#include "utils/jsonb.h"

#include "base/names.h"
#include "config/limit.h"
#include "config/queue.h"
#include "config/queue_weights.h"
#include "config/weight.h"

/* Read an argument, and check what does not depend on the queues of the worker. */
struct varlena *
QueueWeightsArg(FunctionCallInfo fcinfo, int n)
{
	KeyNumber	   *costs;
	int				count;
	struct varlena *weights = WeightsArg(fcinfo, n, KEY_GROUP, "queue_weights", "Write {\"mail\": 3, \"reports\": 1}.", &costs, &count);

	for (int i = 0; i < count; i++)
		(void) QueueByName(costs[i].keys.group_key, false);
	return weights;
}

/* A weight for a queue that is not taken is a mistake.  "queues" is the list of the worker, or NULL. */
void
QueueWeightsCheck(const QueueWeights *weights, ArrayType *queues)
{
	if (weights == NULL || queues == NULL)
		return;
	for (int i = 0; i < weights->n; i++)
		if (!NamesContain(queues, weights->costs[i].queue))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("queue_weights has queue \"%s\", which is not one of the queues", weights->costs[i].queue),
					 errhint("Add it to queues, or take it out of queue_weights.")));
}

/*
 * Return weights that were stored, or NULL if there are none.  They were checked; what
 * somebody has written by hand is left out if it is wrong.
 */
QueueWeights *
QueueWeightsRead(struct varlena *weights)
{
	KeyNumber	 *costs;
	int			  n;
	const char	 *problem;
	QueueWeights *read;

	if (weights == NULL || !WeightsRead(weights, KEY_GROUP, &costs, &n, &problem) || n == 0)
		return NULL;
	read = palloc0(offsetof(QueueWeights, costs) + sizeof(QueueCost) * n);
	read->n = n;
	for (int i = 0; i < n; i++)
	{
		strlcpy(read->costs[i].queue, costs[i].keys.group_key, sizeof(read->costs[i].queue));
		read->costs[i].cost = costs[i].number;
	}
	pfree(costs);
	return read;
}

QueueWeights *
QueueWeightsCopy(const QueueWeights *weights)
{
	Size		  size;
	QueueWeights *copy;

	if (weights == NULL)
		return NULL;
	size = offsetof(QueueWeights, costs) + sizeof(QueueCost) * weights->n;
	copy = palloc(size);
	memcpy(copy, weights, size);
	return copy;
}

/* Return what a start of a job of this queue costs the queue. */
int32
QueueWeightsCost(const QueueWeights *weights, const char *queue)
{
	for (int i = 0; i < weights->n; i++)
		if (strcmp(weights->costs[i].queue, queue) == 0)
			return weights->costs[i].cost;
	return TURN_COST;
}
