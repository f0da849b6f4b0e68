/*
 * locks.h
 *	  Heavyweight locks in taskq's own key space.
 */
#ifndef TASKQ_LOCKS_H
#define TASKQ_LOCKS_H

#include "taskq.h"

/* What a key stands for.  PostgreSQL's advisory locks use 1 and 2. */
typedef enum LockClass
{
	LOCK_TASK_TYPE = 11,	/* the registration of a task type */
	LOCK_PERMIT = 12,		/* one of a worker's max_concurrent_jobs permits */
	LOCK_REGISTRATION = 13, /* an external worker's id: claims share it */
	LOCK_FIRST_CLAIM = 14,	/* registering an external worker by its first claim */
	LOCK_EVENTS = 15,		/* a position below all events of an open transaction */
	LOCK_COUNTER = 16,		/* raising the ceiling of a counter */
	LOCK_TRIAL = 17,		/* the trial job of a paused task type */
	LOCK_CARE = 18,			/* making and dropping leaves */
	LOCK_FIRST_ROW = 19,	/* writing the row of a first claim */
	LOCK_BUDGETS = 20		/* adding up what was used of budgets */
} LockClass;

extern void	  LocksInit(void);
extern uint64 NameKey(const char *name);
extern bool	  LockKey(LockClass class, uint64 key, bool exclusive, bool wait);
extern void	  UnlockKey(LockClass class, uint64 key, bool exclusive);
extern bool	  LockKeyIsTaken(LockClass class, uint64 key);
extern bool	  LockKeyIsHeld(LockClass class, uint64 key, bool exclusive);
extern uint64 LockLeastKey(LockClass class);

#endif /* TASKQ_LOCKS_H */
