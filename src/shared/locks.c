/*
 * locks.c
 *	  Transaction-scoped heavyweight locks in a key space of taskq's own.
 *
 * They are of the advisory kind, so they are per database, show in pg_locks
 * (with objsubid from 11) and end with the transaction or savepoint; the key
 * space is one that no SQL function can reach.
 */
#include "taskq.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"

#include "base/compat.h"
#include "base/error.h"
#include "shared/locks.h"

/* The server has room for some thousands of locks, which all sessions share. */
#define MAX_LOCKS 1000

/* How many locks the transaction holds; those freed by a savepoint are counted still. */
static int n_held = 0;

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		n_held = 0;
}

/* Registered once: each registration is kept for the life of the process. */
void
LocksInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
}

/* The key of what has a name. */
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

/* One transaction must not use up the lock table for all. */
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

/* Take a lock until the transaction ends; false when it is not to be had. */
bool
LockKey(LockClass class, uint64 key, bool exclusive, bool wait)
{
	LOCKTAG			  tag;
	LockAcquireResult result;

	CheckCount();
	MakeTag(&tag, class, key);
	result = LockAcquire(&tag, exclusive ? ExclusiveLock : ShareLock, false, !wait);
	if (result == LOCKACQUIRE_OK)
		n_held++;
	return result != LOCKACQUIRE_NOT_AVAIL;
}

/* Give it back before the transaction ends. */
void
UnlockKey(LockClass class, uint64 key, bool exclusive)
{
	LOCKTAG tag;

	MakeTag(&tag, class, key);
	n_held = Max(n_held - 1, 0);
	(void) LockRelease(&tag, exclusive ? ExclusiveLock : ShareLock, false);
}

/* Does this transaction have the lock, shared? */
bool
LockKeyIsHeld(LockClass class, uint64 key)
{
	LOCKTAG tag;

	MakeTag(&tag, class, key);
	return LockHeldByMe_compat(&tag, ShareLock);
}

/* The least key that any other transaction of this database has locked. */
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
