/*
 * queue.h
 *	  Queues: named lines of jobs.
 */
#ifndef TASKQ_QUEUE_H
#define TASKQ_QUEUE_H

#include "taskq.h"

typedef struct TaskqQueue
{
	int32		queue_id;
	char		name[TASKQ_NAME_MAX + 1];
	bool		paused;
	bool		keep_payload;
	int64		retain_completed;	/* microseconds */
	int64		retain_other;
} TaskqQueue;

/* Valid until the next look-up of a queue. */
extern const TaskqQueue *QueueByName(const char *name, bool missing_ok);
extern const TaskqQueue *QueueById(int32 queue_id);

#endif							/* TASKQ_QUEUE_H */
