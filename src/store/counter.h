/*
 * counter.h
 *	  Numbers that are never given out twice: job ids, epochs and event positions.
 */
#ifndef TASKQ_COUNTER_H
#define TASKQ_COUNTER_H

#include "taskq.h"

#include "shared/shmem.h"

extern void	 CounterDraw(CounterKind kind, int64 *numbers, int n);
extern int64 CounterNext(CounterKind kind);
extern int64 CounterLast(CounterKind kind);
extern void	 CounterPass(CounterKind kind, int64 value);
extern void	 CounterPassSequences(void);

#endif /* TASKQ_COUNTER_H */
