/*
 * stats.h
 *	  Runs by task type, counted in shared memory.
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

/* Jobs that fail in a row because of how the database is, before their type is paused. */
#define SETUP_FAILURES 3

/* Of one task type; times in microseconds. */
typedef struct StatsNumbers
{
	int64		completed;
	int64		failed;
	int64		total;
	int64		waited; /* from when a job was due to its start */
	TimestampTz last_run_at;
	TimestampTz since;						/* counted from then on */
	int			setup_failures;				/* so many different jobs in a row have failed because of the database */
	int64		setup_jobs[SETUP_FAILURES]; /* these */
	Histogram	runs;
	Histogram	waits;
} StatsNumbers;

/* Found under TaskqShared.lock; what follows the key is guarded by mutex. */
typedef struct StatsEntry
{
	StatsKey	 key;
	slock_t		 mutex;
	uint32		 generation; /* another one when the entry is reused */
	StatsNumbers numbers;
} StatsEntry;

extern void		   StatsInit(void);
extern bool		   StatsCountSetupFailure(const char *task_type, int64 job_id);
extern void		   StatsCountRun(const char *task_type, bool completed, int64 duration, int64 waited);
extern bool		   StatsIsFull(void);
extern StatsEntry *StatsCopyAll(Oid dboid, int *n);
extern void		   StatsRestore(const StatsEntry *saved);

#endif /* TASKQ_STATS_H */
