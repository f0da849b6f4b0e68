/*
 * fair.h
 *	  Fair queues: groups of jobs that take turns.
 */
#ifndef TASKQ_FAIR_H
#define TASKQ_FAIR_H

#include "taskq.h"

#include "fmgr.h"

#include "config/limit.h"
#include "config/queue.h"

extern void			   FairWarnWithoutPreload(const char *queue);
extern uint8		   FairByArg(FunctionCallInfo fcinfo, int n);
extern struct varlena *FairWeightsArg(FunctionCallInfo fcinfo, int n, uint8 fair_by);
extern void			   FairReadWeights(TaskqQueue *queue, struct varlena *weights);
extern int32		   FairCost(const TaskqQueue *queue, int64 group);

#endif /* TASKQ_FAIR_H */
