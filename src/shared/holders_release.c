/*
 * holders_release.c
 *	  Freeing what a job holds of limits, and waking those that wait for it.
 *
 * This is done after a commit or abort, so it allocates no memory and cannot fail.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "shared/holders_int.h"
#include "shared/shmem.h"
#include "shared/wake.h"

/* Whom a release wakes. */
typedef struct ToWake
{
	bool	 all;
	int		 n_limits;
	LimitKey keys[MAX_HELD];
	uint32	 noted[MAX_HELD]; /* LimitEntry.noted of each limit */
	int		 n;
	int32	 routes[MAX_HELD * MAX_BLOCKED];
} ToWake;

/* Collect those that wait for a limit. */
static void
Collect(LimitEntry *entry, ToWake *wake)
{
	if (entry->n_blocked > MAX_BLOCKED)
	{
		wake->all = true;
		entry->n_blocked = 0;
	}
	wake->keys[wake->n_limits] = entry->key;
	wake->noted[wake->n_limits++] = entry->noted;
	for (int i = 0; i < entry->n_blocked; i++)
		wake->routes[wake->n++] = entry->blocked[i];
}

/* Free what an entry holds, and remove it.  Adds the values of limits that it frees to "freed". */
static void
Remove(HoldersDatabase *mine, Holder *holder, ToWake *wake, HeldValues *freed)
{
	HolderKey key = holder->key;

	for (int i = 0; i < holder->n; i++)
	{
		LimitEntry *entry = HoldersFindLimit(holder->relid, holder->held[i].limit_id);
		ValueEntry *value = holder->held[i].value;

		if (value != NULL)
		{
			freed->values[freed->n].relid = value->key.relid;
			freed->values[freed->n].limit_id = value->key.limit_id;
			freed->values[freed->n].kind = HELD_JOBS;
			memcpy(freed->values[freed->n++].value, value->key.value, HELD_VALUE_SIZE);
			HolderLeaveValue(value);
		}
		if (entry == NULL)
			continue;
		Assert(entry->in_use > 0);
		entry->in_use--;
		Collect(entry, wake);
	}
	if (mine->counting)
	{
		holder->released = true;
		holder->n = 0;
		return;
	}
	(void) hash_search(holder_entries, &key, HASH_REMOVE, NULL);
	mine->n_holders--;
	HoldersSetUsed(mine);
}

/*
 * Nobody waits for jobs of the route.  Forget that it waits for the limits, unless a route
 * was noted since the release: then somebody may have begun to wait.
 */
static void
ForgetBlocked(const ToWake *wake, int32 route_id)
{
	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	for (int i = 0; i < wake->n_limits; i++)
	{
		LimitEntry *entry = hash_search(limit_entries, &wake->keys[i], HASH_FIND, NULL);

		if (entry == NULL || entry->noted != wake->noted[i] || entry->n_blocked > MAX_BLOCKED)
			continue;
		for (int j = 0; j < entry->n_blocked; j++)
			if (entry->blocked[j] == route_id)
			{
				entry->blocked[j] = entry->blocked[--entry->n_blocked];
				break;
			}
	}
	LWLockRelease(&holders->lock);
}

/* There is room in memory again.  Have all databases look that lacked it. */
static void
WakeShort(void)
{
	if (pg_atomic_read_u32(&holders->short_of_memory) == 0 || pg_atomic_exchange_u32(&holders->short_of_memory, 0) == 0)
		return;
	for (int i = 0; i < taskq_shared->n_databases; i++)
	{
		TaskqDatabase *db = &taskq_databases[i];

		if (pg_atomic_exchange_u32(&holders->databases[i].short_of_memory, 0) == 0 || !OidIsValid(db->dboid))
			continue;
		WakeAllWaiters(db->dboid);
		ShmemWakeScheduler(db);
	}
}

/* Wake a process for each of the routes, or else have the scheduler look. */
static void
Wake(const ToWake *wake)
{
	bool looks = wake->all;

	if (wake->all)
		WakeAllWaiters(MyDatabaseId);
	for (int i = 0; i < wake->n; i++)
	{
		if (WakeWaiters(MyDatabaseId, wake->routes[i], 1) > 0)
			continue;
		ForgetBlocked(wake, wake->routes[i]);
		looks = true;
	}
	if (looks && ShmemMyDatabase() != NULL)
		ShmemWakeScheduler(ShmemMyDatabase());
}

/*
 * A claim has ended.  Free what it holds; returns false if it holds nothing.  "freed" is set
 * to the values whose limits have room now.  The caller lets jobs with these values start.
 */
bool
HoldersRelease(int64 job_id, int64 epoch, HeldValues *freed)
{
	HoldersDatabase *mine = HoldersMine();
	HolderKey		 key = HolderKeyOf(job_id, epoch);
	Holder			*holder;
	ToWake			 wake;
	bool			 held = false;

	freed->n = 0;
	if (mine == NULL || pg_atomic_read_u32(&mine->used) == 0)
		return false;
	wake.all = false;
	wake.n = wake.n_limits = 0;
	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	holder = hash_search(holder_entries, &key, HASH_FIND, NULL);
	held = holder != NULL && !holder->released;
	if (held)
		Remove(mine, holder, &wake, freed);
	else if (holder == NULL && mine->dboid == MyDatabaseId && mine->counting)
	{
		holder = HoldersEnter(mine, InvalidOid, job_id, epoch);
		if (holder != NULL)
			holder->released = true;
		else
			pg_atomic_write_u32(&mine->doubt, 1);
	}
	LWLockRelease(&holders->lock);
	Wake(&wake);
	if (held)
		WakeShort();
	return held;
}
