/*
 * work.h
 *	  The scheduler's work: its pieces, and when each one is due.
 */
#ifndef TASKQ_WORK_H
#define TASKQ_WORK_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "shared/shmem.h"

/* What a piece of work may use to compute when it is due. */
typedef struct WorkPast
{
	bool		signalled; /* a process has signalled the scheduler since then */
	bool		changed;   /* the configuration has changed since its last run */
	bool		ended;	   /* a transaction with an id has ended since then */
	TimestampTz ran_at;	   /* start of the last run */
	TimestampTz next;	   /* when that run asked to be run again, or DT_NOEND */
} WorkPast;

/* The result of a run. */
typedef struct WorkResult
{
	TimestampTz next; /* when it is due again by the clock, or DT_NOEND for never */
	bool		more; /* there are batches to do */
} WorkResult;

typedef TimestampTz (*WorkDueFunction)(const WorkPast *past);
typedef void (*WorkRunFunction)(WorkResult *result);
typedef bool (*WorkBatchFunction)(void);

/*
 * A piece of work.  A run is short, however many rows users have made.  If the
 * amount of work depends on users, it is left to batches.  Each batch is short,
 * too, and returns true if there may be another one.  The helper does the batches,
 * or the scheduler if there is no slot for a helper.  The scheduler and the helper
 * may do runs and batches of the same work at the same time.
 */
typedef struct Work
{
	const char		 *name; /* completes "taskq could not ..." */
	WorkDueFunction	  due;	/* called outside a transaction; reads memory only */
	WorkRunFunction	  run;
	WorkBatchFunction batch; /* NULL if a run does everything */
	bool			  alone; /* the run starts its own transactions, or needs none */
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
extern TimestampTz WorkRound(bool signalled, bool *leave);
extern void		   WorkAllDue(void);
extern bool		   WorkDoBatch(int i, bool *failed);
extern bool		   WorkIsPending(void);
extern bool		   WorkIsBehind(void);

#endif /* TASKQ_WORK_H */
