/*
 * watch.h
 *	  Noticing that the machine stood still or its clock was set.
 */
#ifndef TASKQ_WATCH_H
#define TASKQ_WATCH_H

#include "taskq.h"

#include "executor/tuptable.h"
#include "utils/timestamp.h"

#include "shared/shmem.h"

#define WATCH_EVERY 250 /* ms between two looks at the clocks, while there are leases */

extern void		   WatchBegin(TaskqDatabase *database);
extern bool		   WatchSleep(long milliseconds);
extern bool		   WatchNote(void);
extern TimestampTz WatchNow(void);
extern long		   WatchOthersSleep(long milliseconds);
extern void		   WatchOthersNote(void);
extern TimestampTz WatchLease(TimestampTz expires_at, TupleTableSlot *row);

#endif /* TASKQ_WATCH_H */
