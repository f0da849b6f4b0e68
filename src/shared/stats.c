/*
 * stats.c
 *	  Statistics of runs for each task type, in shared memory.
 *
 * A run is counted when the transaction that settles it commits.  The numbers are
 * kept over a restart of the server, but not over a crash (stats_file.c).
 */
#include "taskq.h"

#include "access/xact.h"
#include "common/hashfn.h"
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

#include "base/args.h"
#include "base/clock.h"
#include "base/grow.h"
#include "base/compat.h"
#include "base/guc.h"
#include "shared/shmem.h"
#include "shared/stats.h"
#include "shared/stats_file.h"

/* In a full table, a type that has not run for this long is replaced by another. */
#define UNUSED_FOR USECS_PER_DAY

/* If there was none, another search is made no sooner than this. */
#define TAKE_OVER_EVERY USECS_PER_MINUTE

static HTAB *stats = NULL;

/* A run that this transaction has settled. */
typedef struct SettledRun
{
	StatsEntry *entry;
	uint32		generation; /* to notice that the entry was given to another type */
	int			level;		/* nesting level of the subtransaction that settled it */
	bool		completed;
	int64		duration;
	int64		waited;
} SettledRun;

static SettledRun *settled_runs = NULL;
static int		   n_settled_runs = 0;
static int		   max_settled_runs = 0;

static Size
StatsSize(void)
{
	return hash_estimate_size(taskq_max_handler_statistics, sizeof(StatsEntry));
}

static void
StatsStart(void)
{
	HASHCTL ctl;

	ctl.keysize = sizeof(StatsKey);
	ctl.entrysize = sizeof(StatsEntry);
	stats = ShmemInitHash_compat("taskq handler statistics", taskq_max_handler_statistics, &ctl, HASH_ELEM | HASH_BLOBS);
	if (IsUnderPostmaster)
		return;
	StatsFileLoad();
	StatsFileSaveAtExit();
}

/* entries ------------------------------------------------------------------ */

/* Clear all but the key, the mutex and the generation. */
static void
Clear(StatsEntry *entry, TimestampTz now)
{
	memset(&entry->numbers, 0, sizeof(entry->numbers));
	HistogramClear(&entry->numbers.runs);
	HistogramClear(&entry->numbers.waits);
	entry->numbers.since = now;
}

/*
 * Give the entry of the type that has not run for the longest time to another
 * type.  Returns NULL if every type has run lately.
 */
static StatsEntry *
TakeOver(const StatsKey *key, TimestampTz now)
{
	static TimestampTz tried_at = 0;
	HASH_SEQ_STATUS	   status;
	StatsEntry		  *entry;
	StatsEntry		  *oldest = NULL;

	if (tried_at != 0 && now - tried_at < TAKE_OVER_EVERY)
		return NULL;
	hash_seq_init(&status, stats);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (oldest == NULL || entry->numbers.last_run_at < oldest->numbers.last_run_at)
			oldest = entry;
	if (oldest == NULL || now - Max(oldest->numbers.last_run_at, oldest->numbers.since) < UNUSED_FOR)
	{
		tried_at = now;
		return NULL;
	}
	(void) hash_update_hash_key(stats, oldest, key);
	SpinLockAcquire(&oldest->mutex);
	oldest->generation++;
	Clear(oldest, now);
	SpinLockRelease(&oldest->mutex);
	return oldest;
}

/* Find a type's entry, or make it.  The caller holds the lock, exclusively with "make". */
static StatsEntry *
FindEntry(const StatsKey *key, bool make)
{
	StatsEntry *entry = hash_search(stats, key, HASH_FIND, NULL);

	if (entry != NULL || !make)
		return entry;
	if (StatsIsFull())
		return TakeOver(key, ClockNow());
	entry = hash_search(stats, key, HASH_ENTER_NULL, NULL);
	if (entry != NULL)
	{
		SpinLockInit(&entry->mutex);
		entry->generation = 0;
		Clear(entry, ClockNow());
	}
	return entry;
}

/* Does this server count runs? */
bool
StatsPresent(void)
{
	return stats != NULL;
}

/* Is the table full? */
bool
StatsIsFull(void)
{
	return stats != NULL && hash_get_num_entries(stats) >= taskq_max_handler_statistics;
}

static void
CountInto(const SettledRun *run, TimestampTz now)
{
	StatsEntry	 *entry = run->entry;
	StatsNumbers *numbers = &entry->numbers;

	SpinLockAcquire(&entry->mutex);
	if (entry->generation == run->generation)
	{
		if (run->completed)
			numbers->completed++;
		else
			numbers->failed++;
		numbers->total += run->duration;
		numbers->waited += run->waited;
		numbers->last_run_at = now;
		HistogramAdd(&numbers->runs, run->duration);
		HistogramAdd(&numbers->waits, run->waited);
	}
	SpinLockRelease(&entry->mutex);
}

/* Take back what CountInto() has counted, except extremes and the last moment. */
static void
TakeBack(const SettledRun *run)
{
	StatsEntry	 *entry = run->entry;
	StatsNumbers *numbers = &entry->numbers;

	SpinLockAcquire(&entry->mutex);
	if (entry->generation == run->generation)
	{
		if (run->completed)
			numbers->completed = Max(numbers->completed - 1, 0);
		else
			numbers->failed = Max(numbers->failed - 1, 0);
		numbers->total = Max(numbers->total - run->duration, 0);
		numbers->waited = Max(numbers->waited - run->waited, 0);
		HistogramRemove(&numbers->runs, run->duration);
		HistogramRemove(&numbers->waits, run->waited);
	}
	SpinLockRelease(&entry->mutex);
}

static void
MakeKey(StatsKey *key, const char *task_type)
{
	memset(key, 0, sizeof(*key));
	key->dboid = MyDatabaseId;
	strlcpy(key->task_type, task_type, sizeof(key->task_type));
}

/* Return a hash of a tenant, which is not 0, or 0 for none. */
static uint64
HashTenant(const char *tenant)
{
	if (tenant == NULL)
		return 0;
	return Max(hash_bytes_extended((const unsigned char *) tenant, strlen(tenant), 0), 1);
}

/* Would all jobs that count belong to one tenant, if a job of this tenant completed the row? */
static bool
IsOfOneTenant(const StatsNumbers *numbers, uint64 tenant)
{
	if (tenant == 0 || numbers->setup_failures < SETUP_FAILURES - 1)
		return false;
	for (int i = 0; i < numbers->setup_failures; i++)
		if (numbers->setup_tenants[i] != tenant)
			return false;
	return true;
}

/*
 * Add a job that failed because of the database.  Returns false if it was counted
 * before.  The last place is not for a job of the tenant that has all others: one
 * tenant may not stop a task type for all by its payloads.
 */
static bool
AddSetupJob(StatsNumbers *numbers, int64 job_id, uint64 tenant)
{
	Assert(numbers->setup_failures < SETUP_FAILURES);
	for (int i = 0; i < numbers->setup_failures; i++)
		if (numbers->setup_jobs[i] == job_id)
			return false;
	if (IsOfOneTenant(numbers, tenant))
		return false;
	numbers->setup_tenants[numbers->setup_failures] = tenant;
	numbers->setup_jobs[numbers->setup_failures++] = job_id;
	return true;
}

/*
 * Count a job that has failed because the database is not as the handler needs it.
 * Call it after StatsCountRun().  "tenant" is the job's, or NULL.  Returns true, and
 * begins anew, when enough different jobs in a row have failed so that do not all
 * belong to one tenant.
 */
bool
StatsCountSetupFailure(const char *task_type, int64 job_id, const char *tenant)
{
	StatsKey	key;
	StatsEntry *entry;
	uint64		tenant_hash = HashTenant(tenant);
	bool		enough = false;

	if (stats == NULL)
		return false;
	MakeKey(&key, task_type);
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	entry = FindEntry(&key, false);
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->mutex);
		enough = AddSetupJob(&entry->numbers, job_id, tenant_hash) && entry->numbers.setup_failures == SETUP_FAILURES;
		if (enough)
			entry->numbers.setup_failures = 0;
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(&taskq_shared->lock);
	return enough;
}

/* Remember a run until the transaction ends. */
static void
KeepSettledRun(StatsEntry *entry, uint32 generation, bool completed, int64 duration, int64 waited)
{
	SettledRun *run;

	settled_runs = GrowArray(settled_runs, sizeof(SettledRun), &max_settled_runs, n_settled_runs + 1);
	run = &settled_runs[n_settled_runs++];
	run->entry = entry;
	run->generation = generation;
	run->level = GetCurrentTransactionNestLevel();
	run->completed = completed;
	run->duration = duration;
	run->waited = waited;
}

/* The entry of the last run that was counted, because the next run mostly has the same type. */
static struct
{
	char		task_type[TASKQ_NAME_MAX + 1];
	StatsEntry *entry; /* NULL if there is none, or no room for one */
	uint32		generation;
} last;

/* Set "last" to the entry of a type. */
static void
FindLast(const char *task_type)
{
	StatsKey key;

	MakeKey(&key, task_type);
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	last.entry = FindEntry(&key, false);
	if (last.entry == NULL)
	{
		LWLockRelease(&taskq_shared->lock);
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		last.entry = FindEntry(&key, true);
	}
	if (last.entry != NULL)
		last.generation = last.entry->generation;
	LWLockRelease(&taskq_shared->lock);
	strlcpy(last.task_type, task_type, sizeof(last.task_type));
}

/* Note in "last" that a run has ended.  Returns false if the entry was given to another type. */
static bool
NoteRun(bool completed)
{
	bool is_of_type;

	SpinLockAcquire(&last.entry->mutex);
	is_of_type = last.entry->generation == last.generation;
	if (is_of_type && completed)
		last.entry->numbers.setup_failures = 0;
	SpinLockRelease(&last.entry->mutex);
	return is_of_type;
}

/*
 * Count a run at commit: how long it took, and how long its job had been due before
 * it began, in microseconds.  Only the row of failures because of the database is
 * ended at once, for the next jobs of the same transaction.
 */
void
StatsCountRun(const char *task_type, bool completed, int64 duration, int64 waited)
{
	if (stats == NULL)
		return;
	if (last.entry == NULL || strcmp(last.task_type, task_type) != 0 || !NoteRun(completed))
	{
		FindLast(task_type);
		if (last.entry == NULL)
			return;
		(void) NoteRun(completed);
	}
	KeepSettledRun(last.entry, last.generation, completed, Max(duration, 0), Max(waited, 0));
}

/*
 * Count the settled runs just before the commit, so that a job is counted when
 * others see it completed.  If the commit fails after that, the counts are taken
 * back.  This allocates no memory and cannot fail.
 */
static void
CountSettledRuns(XactEvent event, void *arg)
{
	static bool counted = false;
	TimestampTz now;

	if (n_settled_runs == 0)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		now = ClockNow();
		for (int i = 0; i < n_settled_runs; i++)
			CountInto(&settled_runs[i], now);
		counted = true;
		return;
	}
	for (int i = 0; i < n_settled_runs && counted && event == XACT_EVENT_ABORT; i++)
		TakeBack(&settled_runs[i]);
	counted = false;
	n_settled_runs = 0;
}

static void
FollowSubtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	/* The last runs are those of the innermost subtransaction. */
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = n_settled_runs; i > 0 && settled_runs[i - 1].level >= level; i--)
			settled_runs[i - 1].level = level - 1;
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		while (n_settled_runs > 0 && settled_runs[n_settled_runs - 1].level >= level)
			n_settled_runs--;
}

/* Called once in a process, as callbacks stay registered. */
void
StatsInit(void)
{
	ShmemRegister(StatsSize, StatsStart);
	RegisterXactCallback(CountSettledRuns, NULL);
	RegisterSubXactCallback(FollowSubtransaction, NULL);
}

/* reading ------------------------------------------------------------------ */

/* Copy the entries of a database, or of all if dboid is invalid. */
StatsEntry *
StatsCopyAll(Oid dboid, int *n)
{
	HASH_SEQ_STATUS status;
	StatsEntry	   *entry;
	StatsEntry	   *copies = palloc_extended(sizeof(StatsEntry) * taskq_max_handler_statistics, MCXT_ALLOC_HUGE);

	*n = 0;
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	hash_seq_init(&status, stats);
	while ((entry = hash_seq_search(&status)) != NULL)
		if ((entry->key.dboid == dboid || !OidIsValid(dboid)) && *n < taskq_max_handler_statistics)
		{
			SpinLockAcquire(&entry->mutex);
			copies[(*n)++] = *entry;
			SpinLockRelease(&entry->mutex);
		}
	LWLockRelease(&taskq_shared->lock);
	return copies;
}

/* Add an entry that was saved before the server's start. */
void
StatsRestore(const StatsEntry *saved)
{
	StatsEntry *entry;

	if (StatsIsFull())
		return;
	entry = hash_search(stats, &saved->key, HASH_ENTER_NULL, NULL);
	if (entry == NULL)
		return;
	SpinLockInit(&entry->mutex);
	entry->generation = 0;
	entry->numbers = saved->numbers;
}

/* Reset the statistics of a task type of this database, or of all if it is NULL. */
void
StatsReset(const char *task_type)
{
	HASH_SEQ_STATUS status;
	StatsEntry	   *entry;
	TimestampTz		now = ClockNow();

	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	hash_seq_init(&status, stats);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == MyDatabaseId && (task_type == NULL || strcmp(task_type, entry->key.task_type) == 0))
		{
			SpinLockAcquire(&entry->mutex);
			Clear(entry, now);
			SpinLockRelease(&entry->mutex);
		}
	LWLockRelease(&taskq_shared->lock);
}
