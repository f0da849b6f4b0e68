/*
 * counts_table.c
 *	  The memory of the counts of jobs: an entry for each database and each route.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "access/twophase.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/guc.h"
#include "shared/counts_int.h"
#include "shared/shmem.h"

/* If more transactions are open than this, nothing is counted. */
#define MOST_OPEN 512

Counts		  *counts = NULL;
TransactionId *counts_open_xids;
HTAB		  *count_entries = NULL;

/* memory ------------------------------------------------------------------- */

static int
MaxOpen(void)
{
	return Min(MaxBackends + max_prepared_xacts, MOST_OPEN);
}

static Size
HeadSize(void)
{
	return MAXALIGN(add_size(offsetof(Counts, databases), mul_size(sizeof(CountedDatabase), taskq_max_databases)));
}

static Size
StructSize(void)
{
	return add_size(HeadSize(), mul_size(sizeof(TransactionId) * SETS, mul_size(MaxOpen(), taskq_max_databases)));
}

static Size
CountsSize(void)
{
	if (taskq_max_route_counts == 0)
		return 0;
	return add_size(StructSize(), hash_estimate_size(taskq_max_route_counts, sizeof(CountEntry)));
}

static void
CountsStart(void)
{
	HASHCTL ctl = { .keysize = sizeof(CountKey), .entrysize = sizeof(CountEntry) };
	bool	found;

	if (taskq_max_route_counts == 0)
		return;
	counts = ShmemInitStruct("taskq counts", StructSize(), &found);
	counts_open_xids = (TransactionId *) ((char *) counts + HeadSize());
	count_entries = ShmemInitHash_compat("taskq counts of routes", taskq_max_route_counts, &ctl, HASH_ELEM | HASH_BLOBS);
	if (found)
		return;
	memset(counts, 0, StructSize());
	LWLockInitialize(&counts->lock, taskq_tranche);
	pg_atomic_init_u64(&counts->searches, 0);
	counts->max_open = MaxOpen();
	for (int i = 0; i < taskq_max_databases; i++)
		counts->databases[i].shown = NO_SET;
}

void
CountsTableInit(void)
{
	ShmemRegister(CountsSize, CountsStart);
}

/* Does this server keep counts? */
bool
CountsPresent(void)
{
	return counts != NULL;
}

/* The entry of this database, which may be another one's until the lock is held; NULL if there is none. */
CountedDatabase *
CountsMyEntry(void)
{
	TaskqDatabase *db = counts == NULL ? NULL : ShmemMyDatabase();

	return db == NULL ? NULL : &counts->databases[db - taskq_databases];
}

TransactionId *
CountsOpenXids(const CountedDatabase *db, int set)
{
	return counts_open_xids + ((db - counts->databases) * SETS + set) * counts->max_open;
}

/* counts ------------------------------------------------------------------- */

void
CountsClear(JobCounts *jobs)
{
	memset(jobs->n, 0, sizeof(jobs->n));
	jobs->newest = DT_NOBEGIN;
	jobs->oldest = NO_JOB;
}

JobAge
CountsOlder(JobAge a, JobAge b)
{
	if (a.created_at != b.created_at)
		return a.created_at < b.created_at ? a : b;
	return a.job_id < b.job_id ? a : b;
}

void
CountsAdd(JobCounts *jobs, const JobCounts *more)
{
	for (int i = 0; i < N_COUNT_CLASSES; i++)
		jobs->n[i] += more->n[i];
	jobs->newest = Max(jobs->newest, more->newest);
	jobs->oldest = CountsOlder(jobs->oldest, more->oldest);
}

/* Find the entry of a route.  The caller holds the lock. */
CountEntry *
CountsFindEntry(int32 route_id)
{
	CountKey key = { MyDatabaseId, route_id };

	Assert(LWLockHeldByMe(&counts->lock));
	return hash_search(count_entries, &key, HASH_FIND, NULL);
}

/* Find the entry of a route, or make it.  Returns NULL if there is no room. */
CountEntry *
CountsFindOrMakeEntry(int32 route_id)
{
	CountKey	key = { MyDatabaseId, route_id };
	CountEntry *entry = CountsFindEntry(route_id);

	Assert(LWLockHeldByMeInMode(&counts->lock, LW_EXCLUSIVE));
	if (entry != NULL || hash_get_num_entries(count_entries) >= taskq_max_route_counts)
		return entry;
	entry = hash_search(count_entries, &key, HASH_ENTER_NULL, NULL);
	if (entry == NULL)
		return NULL;
	SpinLockInit(&entry->mutex);
	for (int set = 0; set < SETS; set++)
		CountsClear(&entry->sets[set]);
	entry->search = 0;
	entry->missed = NO_JOB;
	return entry;
}

/* Is there a set to show? */
bool
CountsAreKept(const CountedDatabase *db)
{
	return db->dboid == MyDatabaseId && db->shown != NO_SET && db->sets[db->shown].live && !db->sets[db->shown].broken;
}

/* Forget the counts of a database that was dropped, or in which taskq was. */
void
CountsForgetDatabase(Oid dboid)
{
	HASH_SEQ_STATUS status;
	CountEntry	   *entry;

	if (counts == NULL)
		return;
	LWLockAcquire(&counts->lock, LW_EXCLUSIVE);
	for (int i = 0; i < taskq_max_databases; i++)
		if (counts->databases[i].dboid == dboid)
		{
			memset(&counts->databases[i], 0, sizeof(CountedDatabase));
			counts->databases[i].shown = NO_SET;
		}
	hash_seq_init(&status, count_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == dboid)
			(void) hash_search(count_entries, &entry->key, HASH_REMOVE, NULL);
	LWLockRelease(&counts->lock);
}
