/*
 * stats.h
 *	  Runs by task type, counted in shared memory.
 */
#ifndef TASKQ_STATS_H
#define TASKQ_STATS_H

#include "taskq.h"

extern Size StatsShmemSize(void);
extern void StatsShmemStartup(void);
extern void StatsInit(void);
extern int	StatsCountSetupFailure(const char *task_type);
extern void StatsCountRun(const char *task_type, bool completed, int64 duration);

#endif							/* TASKQ_STATS_H */
