/*
 * locks.h
 *	  Transaction-scoped heavyweight locks in a key space of taskq's own.
 */
#ifndef TASKQ_LOCKS_H
#define TASKQ_LOCKS_H

#include "taskq.h"

/* What a key stands for.  PostgreSQL's advisory locks use 1 and 2. */
typedef enum LockClass
{
	LOCK_TASK_TYPE = 11,	  /* registry row of a task type */
	LOCK_PERMIT = 12,		  /* one of a worker's max_concurrent_jobs places */
	LOCK_REGISTRATION = 13,	  /* an external worker's id: claims share it */
	LOCK_FIRST_CLAIM = 14,	  /* to register the id by a claim */
	LOCK_EVENTS = 15,		  /* below all events of a transaction that is open */
	LOCK_EVENT_TIMELINE = 16, /* to write the first event on a timeline */
	LOCK_TRIAL = 17,		  /* the one job of a task type that is on trial */
	LOCK_CARE = 18,			  /* making and dropping leaves */
	LOCK_FIRST_ROW = 19		  /* while the row of a first claim is written */
} LockClass;

extern void	  LocksInit(void);
extern uint64 NameKey(const char *name);
extern bool	  LockKey(LockClass class, uint64 key, bool exclusive, bool wait);
extern void	  UnlockKey(LockClass class, uint64 key, bool exclusive);
extern bool	  LockKeyIsHeld(LockClass class, uint64 key);
extern uint64 LockLeastKey(LockClass class);

#endif /* TASKQ_LOCKS_H */
