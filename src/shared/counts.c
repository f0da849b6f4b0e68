/*
 * counts.c
 *	  The number of live jobs of each route, in shared memory.
 *
 * A process of taskq counts the rows of a database with one snapshot.  From then on,
 * each transaction that commits adds its changes.  They must be added if, and only if,
 * that snapshot did not see the transaction.  A commit becomes visible before its
 * callback is called, so both happen: a transaction that the snapshot has seen adds its
 * changes afterwards, and one that it has not seen does so while the rows are still
 * being counted.  Therefore the snapshot is kept here beside the counts, and each
 * callback asks it about its own transaction.  The snapshot is taken while the lock is
 * held exclusively.  So a transaction that it has not seen will find it here.
 *
 * A database has two sets of counts.  One is shown, while the other one is counted
 * anew; a commit adds its changes to both.  While the rows are counted, a set has
 * only the changes, and some counts are negative.
 *
 * Some changes are not known: those of a statement by hand and those of a prepared
 * transaction.  After such a commit the sets that have not seen it are broken, and the
 * rows must be counted anew.  Until then there are no counts.  There are none
 * either after the start of the server, or if there is no room for a route.
 *
 * CountsApply() is called during a commit: it allocates no memory and cannot fail.
 */
#include "taskq.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/guc.h"
#include "shared/counts_int.h"
#include "shared/shmem.h"

#define RECOVER_FACTOR 10				  /* a count that was of no use is repeated after ten times its duration */
#define FULL_PAUSE USECS_PER_HOUR		  /* or after this, if there was no room */
#define ABANDONED (10 * USECS_PER_MINUTE) /* a count that has lasted for so long has failed */

/* for commits ---------------------------------------------------------------- */

/* Did the snapshot of a set see a transaction that has committed? */
static bool
HasSeen(const CountSet *set, const TransactionId *open, uint64 xid)
{
	if (xid < set->xmin)
		return true;
	if (xid >= set->xmax)
		return false;
	for (int i = 0; i < set->n_open; i++)
		if (open[i] == (TransactionId) xid)
			return false;
	return true;
}

/* Must a transaction that has committed add its changes to a set? */
static bool
Misses(const CountedDatabase *db, int set, uint64 xid)
{
	return db->dboid == MyDatabaseId && db->sets[set].live && !HasSeen(&db->sets[set], CountsOpenXids(db, set), xid);
}

static void
AddToEntry(CountEntry *entry, const JobCounts *change, const bool *adds)
{
	SpinLockAcquire(&entry->mutex);
	for (int set = 0; set < SETS; set++)
		if (adds[set])
			CountsAdd(&entry->sets[set], change);
	entry->missed = CountsOlder(entry->missed, change->oldest);
	SpinLockRelease(&entry->mutex);
}

static void
Break(CountedDatabase *db, const bool *which)
{
	for (int set = 0; set < SETS; set++)
		if (which[set])
			db->sets[set].broken = true;
}

/*
 * Add changes from *done on to the sets that miss them.  Returns false at a change for
 * which an entry must be made, if the lock is not held exclusively.
 */
static bool
AddChanges(CountedDatabase *db, Oid relid, uint64 xid, const CountChange *changes, int n, int *done)
{
	bool exclusive = LWLockHeldByMeInMode(&counts->lock, LW_EXCLUSIVE);
	bool adds[SETS];

	for (int set = 0; set < SETS; set++)
		adds[set] = Misses(db, set, xid) && db->sets[set].relid == relid;
	if (!adds[0] && !adds[1])
		return true;
	while (*done < n)
	{
		const RouteCounts *route = &changes[*done].route;
		CountEntry		  *entry = exclusive ? CountsFindOrMakeEntry(route->route_id) : CountsFindEntry(route->route_id);

		if (entry == NULL && !exclusive)
			return false;
		if (entry == NULL)
		{
			db->full = true;
			db->not_before = ClockNow() + FULL_PAUSE;
			Break(db, adds);
			return true;
		}
		AddToEntry(entry, &route->counts, adds);
		(*done)++;
	}
	return true;
}

#ifdef TASKQ_TESTING
/* In a session that has set taskq.injection_point, others see the transaction until the next count begins. */
static void
WaitForCount(void)
{
	volatile uint64 *number = &counts->number;
	uint64			 last = *number;

	if (taskq_injection_point == NULL || strcmp(taskq_injection_point, "count-begins") != 0)
		return;
	for (int i = 0; i < 60000 && *number == last; i++)
		pg_usleep(1000);
}
#endif

/*
 * Add the changes of this transaction, which has committed.  With "doubt", it has also
 * made changes that are not known.
 */
void
CountsApply(Oid relid, const CountChange *changes, int n, bool doubt)
{
	CountedDatabase *db = CountsMyEntry();
	uint64			 xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	int				 done = 0;
	bool			 is_done = true;

	if (db == NULL || !FullTransactionIdIsValid(FullTransactionIdFromU64(xid)))
		return;
#ifdef TASKQ_TESTING
	WaitForCount();
#endif
	LWLockAcquire(&counts->lock, LW_SHARED);
	if (doubt)
		Break(db, (bool[SETS]){ Misses(db, 0, xid), Misses(db, 1, xid) });
	else
		is_done = AddChanges(db, relid, xid, changes, n, &done);
	LWLockRelease(&counts->lock);
	if (!is_done)
	{
		/* if a count has begun or ended meanwhile, its snapshot has seen this transaction, or its set is as before */
		LWLockAcquire(&counts->lock, LW_EXCLUSIVE);
		(void) AddChanges(db, relid, xid, changes, n, &done);
		LWLockRelease(&counts->lock);
	}
	if (doubt && ShmemMyDatabase() != NULL)
		ShmemWakeScheduler(ShmemMyDatabase());
}

/*
 * Note that any prepared transaction of this database may have committed changes that are not
 * known.  Called before these transactions are removed from the list of prepared ones.
 */
void
CountsDoubtAll(void)
{
	CountedDatabase *db = CountsMyEntry();

	if (db == NULL)
		return;
	LWLockAcquire(&counts->lock, LW_EXCLUSIVE);
	if (db->dboid == MyDatabaseId)
		Break(db, (bool[SETS]){ true, true });
	LWLockRelease(&counts->lock);
}

/* for the process that counts ---------------------------------------------------- */

/* Return a transaction id with its epoch; it is not later than "next". */
static uint64
Widen(TransactionId xid, FullTransactionId next)
{
	return U64FromFullTransactionId(next) - (uint32) (XidFromFullTransactionId(next) - xid);
}

/* Keep what is needed of a snapshot to tell which transactions it sees. */
static void
KeepSnapshot(CountSet *set, TransactionId *open, Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();

	set->xmin = Widen(snapshot->xmin, next);
	set->xmax = Widen(snapshot->xmax, next);
	set->n_open = snapshot->xcnt;
	memcpy(open, snapshot->xip, sizeof(TransactionId) * snapshot->xcnt);
}

/* Clear a set in all entries of this database.  The caller holds the lock exclusively. */
static void
ClearSet(int set)
{
	HASH_SEQ_STATUS status;
	CountEntry	   *entry;

	hash_seq_init(&status, count_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == MyDatabaseId)
			CountsClear(&entry->sets[set]);
}

/*
 * Begin to count the rows of a table.  Returns the number of the count, and the snapshot
 * with which to count, which the caller unregisters.  Returns 0 if that is not possible.
 */
uint64
CountsBegin(Oid relid, Snapshot *snapshot)
{
	CountedDatabase *db = CountsMyEntry();
	Snapshot		 taken;
	uint64			 number = 0;

	if (db == NULL)
		return 0;
	(void) GetLatestSnapshot(); /* the first one allocates memory */
	LWLockAcquire(&counts->lock, LW_EXCLUSIVE);
	taken = GetLatestSnapshot();
	Assert(!taken->takenDuringRecovery);
	if (db->dboid != MyDatabaseId)
	{
		memset(db, 0, sizeof(*db));
		db->dboid = MyDatabaseId;
		db->shown = NO_SET;
	}
	if (taken->xcnt <= counts->max_open)
	{
		int		  set = db->shown == 0 ? 1 : 0;
		CountSet *begun = &db->sets[set];

		ClearSet(set);
		number = begun->number = ++counts->number;
		begun->relid = relid;
		begun->broken = false;
		begun->begun_at = ClockNow();
		KeepSnapshot(begun, CountsOpenXids(db, set), taken);
		begun->live = true;
	}
	LWLockRelease(&counts->lock);
	if (number != 0)
		*snapshot = RegisterSnapshot(taken);
	return number;
}

/* Add what was counted to a set.  Returns false if there is no room. */
static bool
AddCounted(int set, HTAB *routes)
{
	HASH_SEQ_STATUS status;
	RouteCounts	   *route;
	bool			adds[SETS] = { set == 0, set == 1 };
	bool			is_full = false;

	hash_seq_init(&status, routes);
	while ((route = hash_seq_search(&status)) != NULL)
	{
		CountEntry *entry = is_full ? NULL : CountsFindOrMakeEntry(route->route_id);

		if (entry == NULL)
			is_full = true;
		else
			AddToEntry(entry, &route->counts, adds);
	}
	return !is_full;
}

static bool
IsZero(const JobCounts *jobs)
{
	for (int i = 0; i < N_COUNT_CLASSES; i++)
		if (jobs->n[i] != 0)
			return false;
	return true;
}

/*
 * Remove the entries of routes of this database that have no jobs in the only live set, and
 * end all searches.  A search may have missed jobs that only this set has.
 */
static void
CleanEntries(int set)
{
	HASH_SEQ_STATUS status;
	CountEntry	   *entry;

	hash_seq_init(&status, count_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->key.dboid != MyDatabaseId)
			continue;
		if (IsZero(&entry->sets[set]))
			(void) hash_search(count_entries, &entry->key, HASH_REMOVE, NULL);
		else
			entry->search = 0;
	}
}

/*
 * End a count with the counts of the routes, as RouteCounts.  From now on they are
 * shown.  Returns false if they are of no use.
 */
bool
CountsEnd(uint64 number, HTAB *routes)
{
	CountedDatabase *db = CountsMyEntry();
	int				 set;
	bool			 is_good = false;
	TimestampTz		 now = ClockNow();

	if (db == NULL)
		return false;
	LWLockAcquire(&counts->lock, LW_EXCLUSIVE);
	set = db->shown == 0 ? 1 : 0;
	if (db->dboid == MyDatabaseId && db->sets[set].live && db->sets[set].number == number)
	{
		CountSet *ended = &db->sets[set];

		db->took = Max(now - ended->begun_at, 0);
		if (!ended->broken)
		{
			db->full = !AddCounted(set, routes);
			is_good = !db->full;
		}
		if (is_good)
		{
			db->sets[1 - set].live = false;
			db->shown = set;
			CleanEntries(set);
		}
		else
		{
			ended->live = false;
			db->not_before = now + (db->full ? FULL_PAUSE : db->took * RECOVER_FACTOR);
		}
	}
	LWLockRelease(&counts->lock);
	return is_good;
}

CountState
CountsState(void)
{
	CountedDatabase *db = CountsMyEntry();
	CountState		 state = { 0 };

	if (db == NULL)
		return state;
	LWLockAcquire(&counts->lock, LW_SHARED);
	if (db->dboid == MyDatabaseId)
	{
		const CountSet *other = &db->sets[db->shown == 0 ? 1 : 0];

		state.kept = CountsAreKept(db);
		state.full = db->full && !state.kept;
		state.under_way = other->live && !ClockHasPassed(other->begun_at, ABANDONED);
		state.counted_at = state.kept ? db->sets[db->shown].begun_at : 0;
		state.not_before = db->not_before;
		state.took = db->took;
	}
	LWLockRelease(&counts->lock);
	return state;
}
