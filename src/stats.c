/*
 * stats.c
 *	  Runs by task type, counted in shared memory: no table is written for
 *	  them.  A run is counted when the transaction that settled it commits.
 */
#include "taskq.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
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

/* A run that this transaction has settled.  Entries are never removed. */
typedef struct SettledRun
{
	StatsEntry *entry;
	int			level;			/* of the subtransaction that settled it */
	bool		completed;
	int64		duration;
} SettledRun;

static SettledRun *settled_runs = NULL;
static int	n_settled_runs = 0;
static int	max_settled_runs = 0;

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
		entry->completed++;
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

/* Keep a settled run until the transaction ends. */
static void
KeepSettledRun(StatsEntry *entry, bool completed, int64 duration)
{
	if (n_settled_runs == max_settled_runs)
	{
		int			more = Max(64, max_settled_runs * 2);

		if (settled_runs == NULL)
			settled_runs = MemoryContextAlloc(TopMemoryContext, more * sizeof(SettledRun));
		else
			settled_runs = repalloc_huge(settled_runs, more * sizeof(SettledRun));
		max_settled_runs = more;
	}
	settled_runs[n_settled_runs].entry = entry;
	settled_runs[n_settled_runs].level = GetCurrentTransactionNestLevel();
	settled_runs[n_settled_runs].completed = completed;
	settled_runs[n_settled_runs].duration = duration;
	n_settled_runs++;
}

/*
 * Count a run that took so many microseconds, when this transaction commits.
 * Only that failures of setup are no longer in a row is known at once, to the
 * jobs that follow in the same transaction.
 */
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
	if (entry != NULL && completed)
	{
		SpinLockAcquire(&entry->mutex);
		entry->setup_failures = 0;
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(&taskq_shared->lock);
	if (entry != NULL)
		KeepSettledRun(entry, completed, Max(duration, 0));
}

/*
 * Just before the commit, so that whoever sees a job completed sees it counted.
 * Allocates nothing and cannot fail.
 */
static void
CountSettledRuns(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		for (int i = 0; i < n_settled_runs; i++)
			CountInto(settled_runs[i].entry, settled_runs[i].completed, settled_runs[i].duration);
	n_settled_runs = 0;
}

static void
FollowSubtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	/* the last ones are those of the innermost level */
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = n_settled_runs; i > 0 && settled_runs[i - 1].level >= level; i--)
			settled_runs[i - 1].level = level - 1;
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		while (n_settled_runs > 0 && settled_runs[n_settled_runs - 1].level >= level)
			n_settled_runs--;
}

/* Registered once: each registration is kept for the life of the process. */
void
StatsInit(void)
{
	RegisterXactCallback(CountSettledRuns, NULL);
	RegisterSubXactCallback(FollowSubtransaction, NULL);
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
