/*
 * counts.h
 *	  The number of live jobs of each route, in shared memory.
 */
#ifndef TASKQ_COUNTS_H
#define TASKQ_COUNTS_H

#include "taskq.h"

#include "utils/hsearch.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

/*
 * The classes in which jobs are counted.  Whether an available job is due depends on
 * the time, and a count cannot follow that.  So available jobs are told apart by what
 * never changes: those that were due when they were created, and the others.
 */
typedef enum CountClass
{
	COUNT_AT_ONCE, /* available, due when it was created */
	COUNT_LATER,   /* available, due later than it was created */
	COUNT_RETRYABLE,
	COUNT_RUNNING, /* stored as running */
	N_COUNT_CLASSES,
	COUNT_NOT = N_COUNT_CLASSES /* no live row */
} CountClass;

/* A job by its age. */
typedef struct JobAge
{
	TimestampTz created_at;
	int64		job_id;
} JobAge;

/* The counts of a route, or what a transaction adds to them. */
typedef struct JobCounts
{
	int64		n[N_COUNT_CLASSES];
	TimestampTz newest; /* no job of COUNT_AT_ONCE was created later */
	JobAge		oldest; /* no waiting job is older; the job itself may have ended */
} JobCounts;

typedef struct RouteCounts
{
	int32	  route_id;
	JobCounts counts;
} RouteCounts;

/* What a transaction adds to the counts of a route. */
typedef struct CountChange
{
	RouteCounts route;
	int			level; /* nesting level of the subtransaction */
} CountChange;

/* The state of the counts of this database, for the process that counts. */
typedef struct CountState
{
	bool		kept;		/* they are right */
	bool		full;		/* there are none, because there was no room for a route */
	bool		under_way;	/* a process counts the rows */
	TimestampTz counted_at; /* when the count that is kept began */
	TimestampTz not_before; /* no count before this moment, as the last one was of no use */
	int64		took;		/* how long the last count took, in microseconds */
} CountState;

/* counts.c: in shared memory */
extern void		  CountsTableInit(void);
extern bool		  CountsPresent(void);
extern void		  CountsClear(JobCounts *counts);
extern void		  CountsAdd(JobCounts *counts, const JobCounts *more);
extern JobAge	  CountsOlder(JobAge a, JobAge b);
extern void		  CountsApply(Oid relid, const CountChange *changes, int n, bool doubt);
extern uint64	  CountsBegin(Oid relid, Snapshot *snapshot);
extern bool		  CountsEnd(uint64 number, HTAB *routes);
extern bool		  CountsCopy(Oid relid, RouteCounts *copies, int *n, TimestampTz *counted_at);
extern bool		  CountsCopyRoute(Oid relid, int32 route_id, JobCounts *counts, TimestampTz *counted_at);
extern uint64	  CountsBeginSearch(Oid relid, int32 route_id);
extern void		  CountsEndSearch(Oid relid, int32 route_id, uint64 number, JobAge oldest);
extern void		  CountsDoubtAll(void);
extern void		  CountsForgetDatabase(Oid dboid);
extern CountState CountsState(void);

/* counts_xact.c: what this transaction has changed */
extern void	 CountsInit(Oid (*find_jobs_table)(bool must_be_there));
extern void	 CountsChange(int32 route_id, CountClass from, CountClass to, const JobAge *age);
extern void	 CountsDoubt(void);
extern bool	 CountsChangedHere(void);
extern HTAB *CountsMakeTable(void);
extern void	 CountsAddTo(HTAB *routes, int32 route_id, const JobCounts *more);
extern HTAB *CountsRead(Oid relid, TimestampTz *counted_at);
extern bool	 CountsReadRoute(Oid relid, int32 route_id, JobCounts *counts, TimestampTz *counted_at);

#endif /* TASKQ_COUNTS_H */
