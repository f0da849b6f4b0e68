/*
 * counts_int.h
 *	  The memory of the counts of jobs, for the files counts*.c only.
 */
#ifndef TASKQ_COUNTS_INT_H
#define TASKQ_COUNTS_INT_H

#include "taskq.h"

#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/hsearch.h"

#include "shared/counts.h"

#define SETS 2
#define NO_SET (-1)

/* Counts of a database, and the snapshot by which they were counted. */
typedef struct CountSet
{
	bool		live;	/* commits add their changes */
	bool		broken; /* a change is missing */
	Oid			relid;	/* of taskq.jobs */
	uint64		number; /* of the count that has made it */
	uint64		xmin;	/* all transactions before this one had ended */
	uint64		xmax;	/* this one and later ones had not */
	int			n_open; /* those between that had not */
	TimestampTz begun_at;
} CountSet;

typedef struct CountedDatabase
{
	Oid			dboid;
	int			shown; /* the set that is shown, or NO_SET */
	bool		full;  /* there was no room for a route */
	TimestampTz not_before;
	int64		took;
	CountSet	sets[SETS];
} CountedDatabase;

typedef struct CountKey
{
	Oid	  dboid;
	int32 route_id;
} CountKey;

/* The mutex guards the fields after it. */
typedef struct CountEntry
{
	CountKey  key;
	slock_t	  mutex;
	JobCounts sets[SETS];
	uint64	  search; /* number of the last search for the oldest job */
	JobAge	  missed; /* the oldest job that was added since that search began */
} CountEntry;

/* The lock guards the set of entries and the databases.  Holding it in share mode allows to add to an entry. */
typedef struct Counts
{
	LWLock			 lock;
	uint64			 number;   /* of the last count */
	pg_atomic_uint64 searches; /* number of the last search */
	int				 max_open;
	CountedDatabase	 databases[FLEXIBLE_ARRAY_MEMBER];
} Counts;

#define NO_JOB ((JobAge){ DT_NOEND, PG_INT64_MAX })

extern Counts		 *counts; /* NULL if no counts are kept */
extern TransactionId *counts_open_xids;
extern HTAB			 *count_entries;

extern CountedDatabase *CountsMyEntry(void);
extern TransactionId   *CountsOpenXids(const CountedDatabase *db, int set);
extern CountEntry	   *CountsFindEntry(int32 route_id);
extern CountEntry	   *CountsFindOrMakeEntry(int32 route_id);
extern bool				CountsAreKept(const CountedDatabase *db);

#endif /* TASKQ_COUNTS_INT_H */
