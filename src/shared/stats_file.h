/*
 * stats_file.h
 *	  Keeping the statistics over a restart of the server.
 */
#ifndef TASKQ_STATS_FILE_H
#define TASKQ_STATS_FILE_H

#include "taskq.h"

#include "shared/stats.h"

extern void StatsFileLoad(void);
extern void StatsFileSaveAtExit(void);

#endif /* TASKQ_STATS_FILE_H */
