/*
 * stats.h
 *	  Statistics of runs for each task type, in shared memory.
 */
#ifndef TASKQ_STATS_H
#define TASKQ_STATS_H

#include "taskq.h"

#include "storage/spin.h"
#include "utils/timestamp.h"

#include "base/histogram.h"

typedef struct StatsKey
{
	Oid	 dboid;
	char task_type[TASKQ_NAME_MAX + 1];
} StatsKey;

/* A type is paused when this many jobs in a row fail because of the state of the database. */
#define SETUP_FAILURES 3

/* The statistics of a task type; times are in microseconds. */
typedef struct StatsNumbers
{
	int64		completed;
	int64		failed;
	int64		total;
	int64		waited; /* time between the moment at which a job was due and its start */
	TimestampTz last_run_at;
	TimestampTz since;						   /* when counting began */
	int			setup_failures;				   /* how many jobs in a row have failed because of the database */
	int64		setup_jobs[SETUP_FAILURES];	   /* those jobs, which are different */
	uint64		setup_tenants[SETUP_FAILURES]; /* hashes of their tenants, 0 for none */
	Histogram	runs;
	Histogram	waits;
} StatsNumbers;

/* TaskqShared.lock guards the table; mutex guards the fields after the key. */
typedef struct StatsEntry
{
	StatsKey	 key;
	slock_t		 mutex;
	uint32		 generation; /* changes when the entry is given to another type */
	StatsNumbers numbers;
} StatsEntry;

/* stats.c */
extern void StatsInit(void);
extern bool StatsCountSetupFailure(const char *task_type, int64 job_id, const char *tenant);
extern void StatsCountRun(const char *task_type, bool completed, int64 duration, int64 waited);

/* stats_table.c */
extern void		   StatsTableInit(void);
extern bool		   StatsPresent(void);
extern bool		   StatsIsFull(void);
extern StatsEntry *StatsFindEntry(const char *task_type, bool make);
extern StatsEntry *StatsCopyAll(Oid dboid, int *n);
extern void		   StatsRestore(const StatsEntry *saved);
extern void		   StatsReset(const char *task_type);
extern void		   StatsForgetDatabase(Oid dboid);

#endif /* TASKQ_STATS_H */
