/*
 * locks.c
 *	  Heavyweight locks in taskq's own key space.
 *
 * They are advisory locks of the transaction: each belongs to a database, is shown
 * in pg_locks (with an objsubid of 11 or more), and is released at the end of the
 * transaction or savepoint.  No SQL function can reach their key space.
 */
#include "taskq.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/grow.h"
#include "shared/locks.h"

/* All sessions share a lock table of some thousands of locks. */
#define MAX_LOCKS 1000

/* How many locks the transaction holds. */
static int n_held = 0;

/* A subtransaction that has taken locks, and how many the transaction held before it. */
typedef struct LockLevel
{
	int level;
	int held_before;
} LockLevel;

/* Those that are open, the innermost last. */
static LockLevel *levels = NULL;
static int		  n_levels = 0;
static int		  max_levels = 0;

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		n_held = n_levels = 0;
}

/* A rollback to a savepoint releases locks; otherwise the parent holds them from now on. */
static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	if (n_levels == 0 || levels[n_levels - 1].level < level)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		n_levels--;
		n_held = Min(n_held, levels[n_levels].held_before);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		if (level == 2 || (n_levels > 1 && levels[n_levels - 2].level == level - 1))
			n_levels--;
		else
			levels[n_levels - 1].level = level - 1;
	}
}

/* Called once in a process, as callbacks stay registered. */
void
LocksInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
}

/* Remember how many locks are held before this subtransaction takes its first. */
static void
NoteLevel(void)
{
	int level = GetCurrentTransactionNestLevel();

	if (level == 1 || (n_levels > 0 && levels[n_levels - 1].level == level))
		return;
	levels = GrowArray(levels, sizeof(LockLevel), &max_levels, n_levels + 1);
	levels[n_levels].level = level;
	levels[n_levels++].held_before = n_held;
}

/* The key for a name. */
uint64
NameKey(const char *name)
{
	return hash_bytes_extended((const unsigned char *) name, strlen(name), 0);
}

static void
MakeTag(LOCKTAG *tag, LockClass class, uint64 key)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, class);
}

/* Prevent a transaction from using up the lock table. */
static void
CheckCount(void)
{
	if (n_held >= MAX_LOCKS)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
				 errmsg("too many locks of taskq in one transaction"),
				 errdetail("Each worker or handler that is registered, and each claim of a worker with max_concurrent_jobs, holds locks until the transaction ends."),
				 errhint("Commit after some hundreds of such calls.")));
}

/* Take a lock until the transaction ends.  Returns false if it is not available and "wait" is false. */
bool
LockKey(LockClass class, uint64 key, bool exclusive, bool wait)
{
	LOCKTAG			  tag;
	LockAcquireResult result;

	CheckCount();
	NoteLevel();
	MakeTag(&tag, class, key);
	result = LockAcquire(&tag, exclusive ? ExclusiveLock : ShareLock, false, !wait);
	if (result == LOCKACQUIRE_OK)
		n_held++;
	return result != LOCKACQUIRE_NOT_AVAIL;
}

/* Release a lock before the transaction ends. */
void
UnlockKey(LockClass class, uint64 key, bool exclusive)
{
	LOCKTAG tag;

	MakeTag(&tag, class, key);
	n_held = Max(n_held - 1, 0);
	(void) LockRelease(&tag, exclusive ? ExclusiveLock : ShareLock, false);
}

/* Does this transaction hold the lock in this mode? */
bool
LockKeyIsHeld(LockClass class, uint64 key, bool exclusive)
{
	LOCKTAG tag;

	MakeTag(&tag, class, key);
	return LockHeldByMe_compat(&tag, exclusive ? ExclusiveLock : ShareLock);
}

/* Return whether another transaction holds the lock.  Takes no lock. */
bool
LockKeyIsTaken(LockClass class, uint64 key)
{
	LOCKTAG tag;
	int		n;

	MakeTag(&tag, class, key);
	(void) GetLockConflicts(&tag, ExclusiveLock, &n);
	return n > 0;
}

/* Return the lowest key of the class that another transaction of this database has locked. */
uint64
LockLeastKey(LockClass class)
{
	LockData *locks = GetLockStatusData();
	uint64	  least = PG_UINT64_MAX;

	for (int i = 0; i < locks->nelements; i++)
	{
		const LockInstanceData *lock = &locks->locks[i];
		const LOCKTAG		   *tag = &lock->locktag;

		if (tag->locktag_type == LOCKTAG_ADVISORY && tag->locktag_field4 == class &&
			tag->locktag_field1 == MyDatabaseId && lock->holdMask != 0 && lock->pid != MyProcPid)
			least = Min(least, (uint64) tag->locktag_field2 << 32 | tag->locktag_field3);
	}
	pfree(locks->locks);
	pfree(locks);
	return least;
}
