/*
 * locks.c
 *	  Transaction-scoped heavyweight locks in a key space of taskq's own.
 *
 * They are of the advisory kind, so they are per database, show in pg_locks
 * (with objsubid from 11) and end with the transaction or savepoint; the key
 * space is one that no SQL function can reach.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"

#include "compat.h"
#include "locks.h"

static void
MakeTag(LOCKTAG *tag, LockClass class, uint64 key)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, class);
}

/* Take a lock until the transaction ends; false when it is not to be had. */
bool
LockKey(LockClass class, uint64 key, bool exclusive, bool wait)
{
	LOCKTAG		tag;

	MakeTag(&tag, class, key);
	return LockAcquire(&tag, exclusive ? ExclusiveLock : ShareLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/* Give it back before the transaction ends. */
void
UnlockKey(LockClass class, uint64 key, bool exclusive)
{
	LOCKTAG		tag;

	MakeTag(&tag, class, key);
	(void) LockRelease(&tag, exclusive ? ExclusiveLock : ShareLock, false);
}

/* Does this transaction have the lock, shared? */
bool
LockKeyIsHeld(LockClass class, uint64 key)
{
	LOCKTAG		tag;

	MakeTag(&tag, class, key);
	return LockHeldByMe_compat(&tag, ShareLock);
}

/* The least key that any other transaction of this database has locked. */
uint64
LockLeastKey(LockClass class)
{
	LockData   *locks = GetLockStatusData();
	uint64		least = PG_UINT64_MAX;

	for (int i = 0; i < locks->nelements; i++)
	{
		const LockInstanceData *lock = &locks->locks[i];
		const LOCKTAG *tag = &lock->locktag;

		if (tag->locktag_type == LOCKTAG_ADVISORY && tag->locktag_field4 == class &&
			tag->locktag_field1 == MyDatabaseId && lock->holdMask != 0 && lock->pid != MyProcPid)
			least = Min(least, (uint64) tag->locktag_field2 << 32 | tag->locktag_field3);
	}
	pfree(locks->locks);
	pfree(locks);
	return least;
}
