/*
 * stats_table.c
 *	  The statistics of task types in shared memory.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/hsearch.h"

#include "base/clock.h"
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

void
StatsTableInit(void)
{
	ShmemRegister(StatsSize, StatsStart);
}

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

/*
 * Let other types have the entries of a database that was dropped, or in which taskq was.
 * The caller holds TaskqShared.lock.
 */
void
StatsForgetDatabase(Oid dboid)
{
	HASH_SEQ_STATUS status;
	StatsEntry	   *entry;

	Assert(LWLockHeldByMeInMode(&taskq_shared->lock, LW_EXCLUSIVE));
	if (stats == NULL)
		return;
	hash_seq_init(&status, stats);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == dboid)
		{
			SpinLockAcquire(&entry->mutex);
			Clear(entry, 0);
			SpinLockRelease(&entry->mutex);
		}
}

static void
MakeKey(StatsKey *key, const char *task_type)
{
	memset(key, 0, sizeof(*key));
	key->dboid = MyDatabaseId;
	strlcpy(key->task_type, task_type, sizeof(key->task_type));
}

/* Find a type's entry, or make it.  The caller holds TaskqShared.lock, exclusively with "make". */
StatsEntry *
StatsFindEntry(const char *task_type, bool make)
{
	StatsKey	key;
	StatsEntry *entry;

	Assert(LWLockHeldByMe(&taskq_shared->lock));
	Assert(!make || LWLockHeldByMeInMode(&taskq_shared->lock, LW_EXCLUSIVE));
	MakeKey(&key, task_type);
	entry = hash_search(stats, &key, HASH_FIND, NULL);
	if (entry != NULL && entry->numbers.since == 0)
	{
		/* taskq was dropped and created again in this database */
		SpinLockAcquire(&entry->mutex);
		entry->numbers.since = ClockNow();
		SpinLockRelease(&entry->mutex);
	}
	if (entry != NULL || !make)
		return entry;
	if (StatsIsFull())
		return TakeOver(&key, ClockNow());
	entry = hash_search(stats, &key, HASH_ENTER_NULL, NULL);
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

	Assert(!IsUnderPostmaster); /* so no lock is needed */
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
