/*
 * counts_read.c
 *	  Reading the counts of jobs, and finding the oldest job of a route.
 *
 * An entry has the oldest job that was ever added to its route since the rows were
 * counted.  No waiting job is older, but that job may have ended since.  Then the
 * reader searches the rows of the route, and notes what it has found.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "shared/counts_int.h"
#include "shared/shmem.h"

/* Is there a set to show for this table, and no prepared transaction whose changes may be missing soon? */
static bool
IsReadable(const CountedDatabase *db, Oid relid)
{
	return CountsAreKept(db) && db->sets[db->shown].relid == relid;
}

/*
 * Can no prepared transaction have committed whose changes are missing?  This is looked
 * at after the counts were read: an ended transaction is removed from the list after
 * CountsDoubtAll().
 */
static bool
NoneIsPrepared(void)
{
	TaskqDatabase *db = ShmemMyDatabase();
	bool		   none;

	if (db == NULL)
		return false;
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	none = db->prepared_known && db->n_prepared == 0;
	LWLockRelease(&taskq_shared->lock);
	return none;
}

/*
 * Copy the counts of all routes of this database.  "copies" has room for
 * taskq.max_route_counts of them.  Returns false if there are no counts.
 */
bool
CountsCopy(Oid relid, RouteCounts *copies, int *n, TimestampTz *counted_at)
{
	CountedDatabase *db = CountsMyEntry();
	HASH_SEQ_STATUS	 status;
	CountEntry		*entry;
	bool			 is_readable;

	*n = 0;
	if (db == NULL)
		return false;
	LWLockAcquire(&counts->lock, LW_SHARED);
	is_readable = IsReadable(db, relid);
	if (is_readable)
	{
		*counted_at = db->sets[db->shown].begun_at;
		hash_seq_init(&status, count_entries);
		while ((entry = hash_seq_search(&status)) != NULL)
			if (entry->key.dboid == MyDatabaseId)
			{
				copies[*n].route_id = entry->key.route_id;
				SpinLockAcquire(&entry->mutex);
				copies[(*n)++].counts = entry->sets[db->shown];
				SpinLockRelease(&entry->mutex);
			}
	}
	LWLockRelease(&counts->lock);
	return is_readable && NoneIsPrepared();
}

/* Copy the counts of one route. */
bool
CountsCopyRoute(Oid relid, int32 route_id, JobCounts *jobs, TimestampTz *counted_at)
{
	CountedDatabase *db = CountsMyEntry();
	CountEntry		*entry;
	bool			 is_readable;

	CountsClear(jobs);
	if (db == NULL)
		return false;
	LWLockAcquire(&counts->lock, LW_SHARED);
	is_readable = IsReadable(db, relid);
	entry = is_readable ? CountsFindEntry(route_id) : NULL;
	if (is_readable)
		*counted_at = db->sets[db->shown].begun_at;
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->mutex);
		*jobs = entry->sets[db->shown];
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(&counts->lock);
	return is_readable && NoneIsPrepared();
}

/*
 * Begin to search the rows of a route for its oldest waiting job.  Returns the number to
 * pass to CountsEndSearch().  The rows are read with a later snapshot; jobs that it does not see are noted
 * in the entry.
 */
uint64
CountsBeginSearch(Oid relid, int32 route_id)
{
	CountedDatabase *db = CountsMyEntry();
	CountEntry		*entry;
	uint64			 number = 0;

	if (db == NULL)
		return 0;
	LWLockAcquire(&counts->lock, LW_SHARED);
	entry = IsReadable(db, relid) ? CountsFindEntry(route_id) : NULL;
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->mutex);
		number = entry->search = pg_atomic_add_fetch_u64(&counts->searches, 1);
		entry->missed = NO_JOB;
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(&counts->lock);
	return number;
}

/* End a search, unless a later one has begun. */
void
CountsEndSearch(Oid relid, int32 route_id, uint64 number, JobAge oldest)
{
	CountedDatabase *db = CountsMyEntry();
	CountEntry		*entry;

	if (db == NULL || number == 0)
		return;
	LWLockAcquire(&counts->lock, LW_SHARED);
	entry = IsReadable(db, relid) ? CountsFindEntry(route_id) : NULL;
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->mutex);
		if (entry->search == number)
			entry->sets[db->shown].oldest = CountsOlder(oldest, entry->missed);
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(&counts->lock);
}
