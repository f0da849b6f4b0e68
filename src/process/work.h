/*
 * work.h
 *	  The scheduler's work: what there is to do, and when each piece is due.
 */
#ifndef TASKQ_WORK_H
#define TASKQ_WORK_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "shared/shmem.h"

/* What a piece of work may know to say when it is due. */
typedef struct WorkPast
{
	bool		news;	 /* somebody has signalled the scheduler */
	bool		changed; /* the configuration has changed since its last run */
	bool		ended;	 /* a transaction that may have written has ended since then */
	TimestampTz ran_at;	 /* its last run */
	TimestampTz next;	 /* as that run has said; DT_NOEND: it did not */
} WorkPast;

/* What a run says. */
typedef struct WorkResult
{
	TimestampTz next; /* when it is due again by the clock; DT_NOEND: never */
	bool		more; /* there are batches to be done */
} WorkResult;

typedef TimestampTz (*WorkDueFunction)(const WorkPast *past);
typedef void (*WorkRunFunction)(WorkResult *result);
typedef bool (*WorkBatchFunction)(void);

/*
 * A piece of work.  A run is short, whatever users have done.  Work whose size users
 * decide is left to batches: each is short, too, and returns true if there may be
 * another one.  Batches are done by the helper, or by the scheduler if there is no
 * slot for one.  Scheduler and helper may do batches and runs of the same work at the
 * same time.
 */
typedef struct Work
{
	const char		 *name; /* as in "taskq could not ..." */
	WorkDueFunction	  due;	/* in no transaction; reads memory only */
	WorkRunFunction	  run;
	WorkBatchFunction batch; /* NULL: a run does it all */
	bool			  alone; /* it needs no transaction, or makes its own */
} Work;

#define MAX_WORK 32 /* bits of TaskqDatabase.helper_work */

/* the table, see work_table.c */
extern const Work work_table[];
extern const int  n_work;

/* when a piece of work is due, for its WorkDueFunction */
extern TimestampTz WorkAfter(TimestampTz since, int64 length);
extern TimestampTz WorkByPoll(const WorkPast *past);
extern TimestampTz WorkByCare(const WorkPast *past);

/* running it */
extern void		   WorkInit(TaskqDatabase *database, bool helper);
extern bool		   WorkInTransaction(const char *what, void (*function)(void *), void *arg);
extern TimestampTz WorkRound(bool news, bool *leave);
extern void		   WorkAllDue(void);
extern bool		   WorkDoBatch(int i, bool *failed);
extern bool		   WorkIsPending(void);
extern bool		   WorkIsBehind(void);

#endif /* TASKQ_WORK_H */
