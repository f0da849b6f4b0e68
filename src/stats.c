/*
 * stats.c
 *	  Runs by task type, counted in shared memory: no table is written for
 *	  them.  A run is counted when it is settled, also when the settling
 *	  transaction is rolled back afterwards.
 */
#include "taskq.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/tuplestore.h"

#include "args.h"
#include "clock.h"
#include "compat.h"
#include "guc.h"
#include "shmem.h"
#include "stats.h"

PG_FUNCTION_INFO_V1(taskq_handler_statistics);

typedef struct StatsKey
{
	Oid			dboid;
	char		task_type[TASKQ_NAME_MAX + 1];
} StatsKey;

/* Found under TaskqShared.lock; the numbers are guarded by mutex. */
typedef struct StatsEntry
{
	StatsKey	key;
	slock_t		mutex;
	int64		completed;
	int64		failed;
	int64		total;			/* microseconds */
	int64		least;
	int64		most;
	TimestampTz last_run_at;
	int			setup_failures; /* in a row, of class 42 or 28 */
} StatsEntry;

static HTAB *stats = NULL;

Size
StatsShmemSize(void)
{
	return hash_estimate_size(taskq_max_handler_statistics, sizeof(StatsEntry));
}

void
StatsShmemStartup(void)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(StatsKey);
	ctl.entrysize = sizeof(StatsEntry);
	stats = ShmemInitHash_compat("taskq handler statistics", taskq_max_handler_statistics, &ctl, HASH_ELEM | HASH_BLOBS);
}

/* A type's entry; with the lock held shared, or exclusively to make it. */
static StatsEntry *
FindEntry(const StatsKey *key, bool make)
{
	StatsEntry *entry;
	bool		found;

	if (!make)
		return hash_search(stats, key, HASH_FIND, NULL);
	if (hash_get_num_entries(stats) >= taskq_max_handler_statistics)
		return hash_search(stats, key, HASH_FIND, NULL);
	entry = hash_search(stats, key, HASH_ENTER_NULL, &found);
	if (entry != NULL && !found)
	{
		memset((char *) entry + sizeof(StatsKey), 0, sizeof(StatsEntry) - sizeof(StatsKey));
		SpinLockInit(&entry->mutex);
		entry->least = PG_INT64_MAX;
	}
	return entry;
}

static void
CountInto(StatsEntry *entry, bool completed, int64 duration)
{
	TimestampTz now = ClockNow();

	SpinLockAcquire(&entry->mutex);
	if (completed)
	{
		entry->completed++;
		entry->setup_failures = 0;
	}
	else
		entry->failed++;
	entry->total += duration;
	entry->least = Min(entry->least, duration);
	entry->most = Max(entry->most, duration);
	entry->last_run_at = now;
	SpinLockRelease(&entry->mutex);
}

static void
MakeKey(StatsKey *key, const char *task_type)
{
	memset(key, 0, sizeof(*key));
	key->dboid = MyDatabaseId;
	strlcpy(key->task_type, task_type, sizeof(key->task_type));
}

/*
 * Count a failure that says the database is not as the handler needs it, after
 * the run itself was counted; how many it were in a row.
 */
int
StatsCountSetupFailure(const char *task_type)
{
	StatsKey	key;
	StatsEntry *entry;
	int			n = 0;

	if (stats == NULL)
		return 0;
	MakeKey(&key, task_type);
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	entry = FindEntry(&key, false);
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->mutex);
		n = ++entry->setup_failures;
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(&taskq_shared->lock);
	return n;
}

/* Count a run that took so many microseconds. */
void
StatsCountRun(const char *task_type, bool completed, int64 duration)
{
	StatsKey	key;
	StatsEntry *entry;

	if (stats == NULL)
		return;
	MakeKey(&key, task_type);
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	entry = FindEntry(&key, false);
	if (entry == NULL)
	{
		LWLockRelease(&taskq_shared->lock);
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		entry = FindEntry(&key, true);
	}
	if (entry != NULL)
		CountInto(entry, completed, Max(duration, 0));
	LWLockRelease(&taskq_shared->lock);
}

Datum
taskq_handler_statistics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	HASH_SEQ_STATUS status;
	StatsEntry *entry;
	StatsEntry *copies;
	int			n = 0;

	CheckArgCount(fcinfo, 0);
	InitMaterializedSRF(fcinfo, 0);
	if (stats == NULL)
		return (Datum) 0;

	/* copied first: nothing that can fail is called with the lock held */
	copies = palloc(sizeof(StatsEntry) * taskq_max_handler_statistics);
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	hash_seq_init(&status, stats);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == MyDatabaseId && n < taskq_max_handler_statistics)
		{
			SpinLockAcquire(&entry->mutex);
			copies[n++] = *entry;
			SpinLockRelease(&entry->mutex);
		}
	LWLockRelease(&taskq_shared->lock);

	for (int i = 0; i < n; i++)
	{
		Datum		values[8];
		bool		nulls[8] = {false};

		entry = &copies[i];
		values[0] = CStringGetTextDatum(entry->key.task_type);
		values[1] = Int64GetDatum(entry->completed + entry->failed);
		values[2] = Int64GetDatum(entry->completed);
		values[3] = Int64GetDatum(entry->failed);
		values[4] = Float8GetDatum(entry->total / 1000.0);
		values[5] = Float8GetDatum(entry->least / 1000.0);
		values[6] = Float8GetDatum(entry->most / 1000.0);
		values[7] = TimestampTzGetDatum(entry->last_run_at);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
