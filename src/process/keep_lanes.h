/*
 * keep_lanes.h
 *	  Moving waiting jobs to the lanes in which they should wait.
 */
#ifndef TASKQ_KEEP_LANES_H
#define TASKQ_KEEP_LANES_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz LanesDue(const WorkPast *past);
extern void		   KeepLanes(WorkResult *result);
extern bool		   MoveToLanes(void);

#endif /* TASKQ_KEEP_LANES_H */
