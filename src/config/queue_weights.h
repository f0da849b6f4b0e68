/*
 * queue_weights.h
 *	  The weights that a pool or a worker has for queues.
 */
#ifndef TASKQ_QUEUE_WEIGHTS_H
#define TASKQ_QUEUE_WEIGHTS_H

#include "taskq.h"

#include "fmgr.h"
#include "utils/array.h"

/* What a start of a job of a queue costs the queue. */
typedef struct QueueCost
{
	char  queue[TASKQ_NAME_MAX + 1];
	int32 cost;
} QueueCost;

typedef struct QueueWeights
{
	int		  n;
	QueueCost costs[FLEXIBLE_ARRAY_MEMBER];
} QueueWeights;

extern struct varlena *QueueWeightsArg(FunctionCallInfo fcinfo, int n);
extern void			   QueueWeightsCheck(const QueueWeights *weights, ArrayType *queues);
extern QueueWeights	  *QueueWeightsRead(struct varlena *weights);
extern QueueWeights	  *QueueWeightsCopy(const QueueWeights *weights);
extern int32		   QueueWeightsCost(const QueueWeights *weights, const char *queue);

#endif /* TASKQ_QUEUE_WEIGHTS_H */
