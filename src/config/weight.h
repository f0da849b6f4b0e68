/*
 * weight.h
 *	  Weights: what share somebody has of the turns that are taken.
 */
#ifndef TASKQ_WEIGHT_H
#define TASKQ_WEIGHT_H

#include "taskq.h"

/* What a start costs at weight 1.  With these bounds, a cost is an int32 and exact to a hundredth of a percent. */
#define TURN_COST (1 << 20)
#define MIN_TURN_WEIGHT 0.01
#define MAX_TURN_WEIGHT 100
#define TURN_WEIGHT_RULE "Each weight must be a number from 0.01 to 100"

#endif /* TASKQ_WEIGHT_H */
