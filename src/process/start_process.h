/*
 * start_process.h
 *	  Start a background worker of taskq.
 */
#ifndef TASKQ_START_PROCESS_H
#define TASKQ_START_PROCESS_H

#include "taskq.h"

#include "postmaster/bgworker.h"

extern void					   ProcessDescribe(BackgroundWorker *worker, const char *type, const char *function);
extern BackgroundWorkerHandle *ProcessStart(BackgroundWorker *worker);

#endif /* TASKQ_START_PROCESS_H */
