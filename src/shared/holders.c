/*
 * holders.c
 *	  What running jobs hold of the limits, in shared memory.
 *
 * Each claim of a job under a limit has an entry here, by the job's id and the epoch of
 * the claim.  A number alone would not do: a claim may end while the running jobs are
 * being counted, or by COMMIT PREPARED, which calls nobody, and then nobody could tell
 * whether the number contains it.  The number of entries of each limit is kept beside
 * them.  All limits of a job are taken at once, under one lock, or none is.
 *
 * Beginning.  After the start of the server, or when a limit is new, it is not known which
 * jobs hold the limit.  It is "armed" by the scheduler (process/keep_limits.c): it waits for
 * the transactions that have claimed jobs and do not know the limit, and then adds the
 * running rows.  Until then no job under the limit starts.  A claim that ends meanwhile may
 * be met by the scheduler afterwards, as its snapshot is older.  So the entry of such a
 * claim is kept, marked as released, until all rows are added.
 *
 * Doubt.  An entry whose claim was made by a transaction that has ended must have a
 * running row.  The scheduler checks that now and then, and always when a prepared
 * transaction has ended.
 *
 * Waiting.  When a limit has no room, the routes whose jobs it holds up are noted.  A
 * release wakes a process for each of them (holders_release.c).
 *
 * This file has more than 400 lines, as claims take and check all limits of a job in one piece.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/guc.h"
#include "shared/holders_int.h"
#include "shared/shmem.h"
#include "shared/wake.h"

Holders *holders = NULL;
HTAB	*limit_entries = NULL;
HTAB	*holder_entries = NULL;
HTAB	*value_entries = NULL;

/* memory ------------------------------------------------------------------- */

static Size
StructSize(void)
{
	return add_size(offsetof(Holders, databases), mul_size(sizeof(HoldersDatabase), taskq_max_databases));
}

static Size
HoldersSize(void)
{
	Size size = MAXALIGN(StructSize());

	size = add_size(size, hash_estimate_size(MAX_LIMITS, sizeof(LimitEntry)));
	size = add_size(size, hash_estimate_size(MAX_VALUES, sizeof(ValueEntry)));
	return add_size(size, hash_estimate_size(taskq_max_held_jobs, sizeof(Holder)));
}

static void
HoldersStart(void)
{
	HASHCTL limit_ctl = { .keysize = sizeof(LimitKey), .entrysize = sizeof(LimitEntry) };
	HASHCTL holder_ctl = { .keysize = sizeof(HolderKey), .entrysize = sizeof(Holder) };
	HASHCTL value_ctl = { .keysize = sizeof(ValueKey), .entrysize = sizeof(ValueEntry), .hash = HoldersHashValue };
	bool	found;

	holders = ShmemInitStruct("taskq holders", StructSize(), &found);
	limit_entries = ShmemInitHash_compat("taskq limits", MAX_LIMITS, &limit_ctl, HASH_ELEM | HASH_BLOBS);
	holder_entries = ShmemInitHash_compat("taskq holders of limits", taskq_max_held_jobs, &holder_ctl, HASH_ELEM | HASH_BLOBS);
	value_entries = ShmemInitHash_compat("taskq values of limits", MAX_VALUES, &value_ctl, HASH_ELEM | HASH_FUNCTION);
	if (found)
		return;
	memset(holders, 0, StructSize());
	LWLockInitialize(&holders->lock, taskq_tranche);
	pg_atomic_init_u32(&holders->short_of_memory, 0);
	for (int i = 0; i < taskq_max_databases; i++)
	{
		pg_atomic_init_u32(&holders->databases[i].used, 0);
		pg_atomic_init_u32(&holders->databases[i].arming, 0);
		pg_atomic_init_u32(&holders->databases[i].doubt, 0);
		pg_atomic_init_u32(&holders->databases[i].short_of_memory, 0);
	}
}

/* Called while the library is loaded. */
void
HoldersInit(void)
{
	ShmemRegister(HoldersSize, HoldersStart);
}

bool
HoldersPresent(void)
{
	return holders != NULL;
}

/* Return what there is for this database, or NULL. */
HoldersDatabase *
HoldersMine(void)
{
	TaskqDatabase *db = holders == NULL ? NULL : ShmemMyDatabase();

	return db == NULL ? NULL : &holders->databases[db - taskq_databases];
}

LimitEntry *
HoldersFindLimit(Oid relid, int32 limit_id)
{
	LimitKey key = { MyDatabaseId, relid, limit_id };

	Assert(LWLockHeldByMe(&holders->lock));
	return hash_search(limit_entries, &key, HASH_FIND, NULL);
}

HolderKey
HolderKeyOf(int64 job_id, int64 epoch)
{
	return (HolderKey){ MyDatabaseId, 0, job_id, epoch };
}

/* Note whether a release has anything to do. */
void
HoldersSetUsed(HoldersDatabase *mine)
{
	pg_atomic_write_u32(&mine->used, mine->counting || mine->n_holders > 0 ? 1 : 0);
}

/* claims --------------------------------------------------------------------- */

static bool claims_jobs = false; /* this transaction has claimed a job */

/*
 * Note that this transaction claims jobs.  Called before the limits are read.  The
 * barrier makes sure that the scheduler, which reads this after it has learnt of a new
 * limit, sees it, or that the claim learns of the limit.
 */
void
HoldersClaimBegins(void)
{
	TaskqSlot *slot = claims_jobs ? NULL : ShmemMySlot();

	if (slot == NULL)
		return;
	(void) pg_atomic_fetch_add_u64(&slot->claims, 1);
	claims_jobs = true;
}

/* Has this transaction claimed jobs, even if that was undone? */
bool
HoldersClaimsOpen(void)
{
	return claims_jobs;
}

/* Note that the transaction has ended, and its claims are visible or undone. */
void
HoldersClaimsEnd(void)
{
	HoldersDatabase *mine;

	if (!claims_jobs)
		return;
	(void) pg_atomic_fetch_add_u64(&ShmemMySlot()->claims, 1);
	claims_jobs = false;
	mine = HoldersMine();
	if (mine != NULL && pg_atomic_read_u32(&mine->arming) != 0)
		ShmemWakeScheduler(ShmemMyDatabase());
}

/* Note that jobs of a route wait for a limit. */
static void
NoteBlocked(LimitEntry *entry, int32 route_id)
{
	entry->noted++;
	for (int i = 0; i < Min(entry->n_blocked, MAX_BLOCKED); i++)
		if (entry->blocked[i] == route_id)
			return;
	if (entry->n_blocked < MAX_BLOCKED)
		entry->blocked[entry->n_blocked] = route_id;
	entry->n_blocked = Min(entry->n_blocked + 1, MAX_BLOCKED + 1);
}

/* Note that jobs of this database wait because there was no room. */
static void
NoteShort(HoldersDatabase *mine)
{
	pg_atomic_write_u32(&mine->short_of_memory, 1);
	pg_atomic_write_u32(&holders->short_of_memory, 1);
}

/* Return why a limit is not armed.  "entry" is NULL if it has none.  The caller holds the lock. */
HoldersAnswer
HoldersWhyUnarmed(const LimitEntry *entry)
{
	bool is_full = entry == NULL && hash_get_num_entries(limit_entries) >= MAX_LIMITS;

	return is_full || (entry != NULL && entry->lacks_memory) ? HOLDERS_NO_MEMORY : HOLDERS_ARMING;
}

/* How many jobs hold a limit, or with "by_key" its value?  The caller holds the lock. */
static int
InUse(Oid relid, const LimitEntry *entry, const HeldLimit *limit)
{
	const ValueEntry *value;

	if (!limit->by_key)
		return entry->in_use;
	value = HoldersFindValue(relid, limit->limit_id, limit->value, HASH_FIND);
	return value == NULL ? 0 : value->in_use;
}

/*
 * May another job start under these limits?  Sets *which to the index of the limit that
 * forbids it, or to -1.  With "wait", the route is noted there, unless only jobs with the
 * same value must wait.  "mine" is NULL only if the database has no entry.  The caller
 * holds the lock.
 */
static HoldersAnswer
Ask(HoldersDatabase *mine, const HeldLimits *limits, int *which, bool wait)
{
	bool any_value = false;

	*which = -1;
	for (int i = 0; i < limits->n; i++)
	{
		const HeldLimit *limit = &limits->limits[i];
		LimitEntry		*entry = HoldersFindLimit(limits->relid, limit->limit_id);
		bool			 is_armed = entry != NULL && entry->armed;

		any_value |= limit->by_key;
		if (is_armed && InUse(limits->relid, entry, limit) < limit->most)
			continue;
		*which = i;
		if (entry != NULL && wait && !(is_armed && limit->by_key))
			NoteBlocked(entry, limits->route_id);
		return is_armed ? HOLDERS_FULL : HoldersWhyUnarmed(entry);
	}
	if (hash_get_num_entries(holder_entries) < taskq_max_held_jobs &&
		(!any_value || hash_get_num_entries(value_entries) + MAX_HELD <= MAX_VALUES))
		return HOLDERS_ROOM;
	if (wait && mine != NULL)
		NoteShort(mine);
	return HOLDERS_NO_MEMORY;
}

/*
 * May another job start under these limits?  If there is no room, *which is the index of
 * the limit.  With "wait", a process that waits for the route is woken when there is room.
 */
HoldersAnswer
HoldersRoom(const HeldLimits *limits, int *which, bool wait)
{
	HoldersDatabase *mine = HoldersMine();
	HoldersAnswer	 answer;

	LWLockAcquire(&holders->lock, LW_SHARED);
	answer = Ask(mine, limits, which, false);
	LWLockRelease(&holders->lock);
	if (answer == HOLDERS_ROOM || !wait)
		return answer;
	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	answer = Ask(mine, limits, which, true);
	LWLockRelease(&holders->lock);
	return answer;
}

/* A job could not take all its limits.  Give back those that it has taken, and remove it. */
static void
TakeBack(HoldersDatabase *mine, Holder *holder)
{
	HolderKey key = holder->key;

	for (int i = 0; i < holder->n; i++)
	{
		HoldersFindLimit(holder->relid, holder->held[i].limit_id)->in_use--;
		HolderLeaveValue(holder->held[i].value);
	}
	(void) hash_search(holder_entries, &key, HASH_REMOVE, NULL);
	mine->n_holders--;
	HoldersSetUsed(mine);
	NoteShort(mine);
}

/* Return the index of a limit for a value of a key that has no room now, or -1.  The caller holds the lock. */
static int
FullValue(const HeldLimits *limits)
{
	for (int i = 0; i < limits->n; i++)
	{
		const HeldLimit *limit = &limits->limits[i];

		if (limit->by_key && InUse(limits->relid, NULL, limit) >= limit->most)
			return i;
	}
	return -1;
}

/*
 * Take the limits for a claim of this transaction, all of them or none.  If there is no
 * room, *which is the index of the limit, or -1.  If there is, *which is the index of a limit
 * for a value of a key that has room for no other job, or -1.
 */
HoldersAnswer
HoldersTake(const HeldLimits *limits, int64 job_id, int64 epoch, int *which)
{
	HoldersDatabase *mine = HoldersMine();
	TaskqSlot		*slot = ShmemMySlot();
	HoldersAnswer	 answer;
	Holder			*holder = NULL;

	*which = -1;
	if (mine == NULL)
		return HOLDERS_ARMING;
	Assert(claims_jobs);
	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	answer = Ask(mine, limits, which, true);
	if (answer == HOLDERS_ROOM)
	{
		holder = HoldersEnter(mine, limits->relid, job_id, epoch);
		if (holder == NULL)
			answer = HOLDERS_NO_MEMORY;
	}
	if (holder != NULL)
	{
		holder->slot = slot - taskq_slots;
		holder->claims = pg_atomic_read_u64(&slot->claims);
		for (int i = 0; i < limits->n && answer == HOLDERS_ROOM; i++)
			answer = HolderAdd(holder, HoldersFindLimit(limits->relid, limits->limits[i].limit_id), &limits->limits[i]);
		if (answer == HOLDERS_ROOM)
			*which = FullValue(limits);
		else
			TakeBack(mine, holder);
	}
	LWLockRelease(&holders->lock);
	return answer;
}

/*
 * The claim that has taken limits under a provisional number has its epoch now.  An entry
 * that was just removed leaves room for another one, so this cannot fail.
 */
void
HoldersStamp(int64 job_id, int64 provisional, int64 epoch)
{
	HolderKey key = HolderKeyOf(job_id, provisional);
	Holder	 *holder;
	Holder	  copy;

	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	holder = hash_search(holder_entries, &key, HASH_FIND, NULL);
	Assert(holder != NULL && !holder->released);
	copy = *holder;
	(void) hash_search(holder_entries, &key, HASH_REMOVE, NULL);
	copy.key = HolderKeyOf(job_id, epoch);
	holder = hash_search(holder_entries, &copy.key, HASH_ENTER_NULL, NULL);
	if (holder != NULL)
		*holder = copy;
	LWLockRelease(&holders->lock);
	Assert(holder != NULL);
}

/* Does a job hold all of these limits, and no limit is exceeded? */
bool
HoldersHold(const HeldLimits *limits, int64 job_id, int64 epoch)
{
	HolderKey	  key = HolderKeyOf(job_id, epoch);
	const Holder *holder;
	bool		  holds;

	LWLockAcquire(&holders->lock, LW_SHARED);
	holder = hash_search(holder_entries, &key, HASH_FIND, NULL);
	holds = holder != NULL;
	for (int i = 0; i < limits->n && holds; i++)
	{
		const HeldLimit	 *limit = &limits->limits[i];
		const LimitEntry *entry = HoldersFindLimit(limits->relid, limit->limit_id);
		bool			  is_held = false;

		for (int j = 0; j < holder->n; j++)
			is_held |= holder->held[j].limit_id == limit->limit_id;
		holds = is_held && entry != NULL && entry->armed && InUse(limits->relid, entry, limit) <= limit->most;
	}
	LWLockRelease(&holders->lock);
	return holds;
}
