/*
 * stats.h
 *	  Runs by task type, counted in shared memory.
 */
#ifndef TASKQ_STATS_H
#define TASKQ_STATS_H

#include "taskq.h"

#include "storage/spin.h"
#include "utils/timestamp.h"

#include "histogram.h"

typedef struct StatsKey
{
	Oid			dboid;
	char		task_type[TASKQ_NAME_MAX + 1];
} StatsKey;

/* Of one task type; times in microseconds. */
typedef struct StatsNumbers
{
	int64		completed;
	int64		failed;
	int64		total;
	int64		waited;			/* from when a job was due to its start */
	TimestampTz last_run_at;
	TimestampTz since;			/* counted from then on */
	int			setup_failures; /* in a row, of class 42 or 28 */
	Histogram	runs;
	Histogram	waits;
} StatsNumbers;

/* Found under TaskqShared.lock; what follows the key is guarded by mutex. */
typedef struct StatsEntry
{
	StatsKey	key;
	slock_t		mutex;
	uint32		generation;		/* another one when the entry is reused */
	StatsNumbers numbers;
} StatsEntry;

extern void StatsInit(void);
extern int	StatsCountSetupFailure(const char *task_type);
extern void StatsCountRun(const char *task_type, bool completed, int64 duration, int64 waited);
extern bool StatsIsFull(void);
extern StatsEntry *StatsCopyAll(Oid dboid, int *n);
extern void StatsRestore(const StatsEntry *saved);

#endif							/* TASKQ_STATS_H */
