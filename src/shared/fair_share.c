/*
 * fair_share.c
 *	  Who has the next turn, where several share what can be started, in shared memory.
 *
 * Members of a scope take turns: the groups of a fair queue, or the queues of a worker that
 * has weights for them.  This is start-time fair queueing, which is deficit round robin
 * without a round.  A scope has a virtual time.  A member has the tag at which its last
 * start is paid for: a start costs it TURN_COST / weight.  The next start is that of the
 * waiting member with the least tag, and the virtual time is the tag of the last start.
 *
 * A member that begins to wait does so at the virtual time, if its own tag is less.  So
 * nobody earns credit while there is nothing to start for him.  The turn of a member without
 * jobs falls to the others at once.
 *
 * Nobody waits for a turn: a tag only orders those who can start a job now.  So an entry
 * that is lost does no harm, except that its member has a turn too early.  All are lost when
 * the server starts.  When there is no room, the entries of members are removed that are not
 * ahead of the virtual time, as a member without an entry is at that time anyway; and
 * scopes of which nobody has started anything for long.  If that frees nothing, a start
 * of a member without an entry is not counted.
 *
 * Functions that begin with FairShare are also called with the lock of the lanes, and at the
 * end of a transaction.  They cannot fail.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

#include "base/compat.h"
#include "base/guc.h"
#include "shared/fair_share.h"
#include "shared/shmem.h"

typedef struct ShareKey
{
	Oid	   dboid;
	uint32 kind;
	uint64 id;
	int64  member; /* 0 and IS_SCOPE in "kind": the scope itself */
} ShareKey;

#define IS_SCOPE 0x80000000

typedef struct ShareEntry
{
	ShareKey key;
	uint64	 tag;  /* what was started is paid for up to here; of a scope, the virtual time */
	uint64	 used; /* of a scope: number of its last start */
} ShareEntry;

typedef struct FairShare
{
	LWLock lock; /* guards everything here, and the entries */
	uint64 starts;
	uint64 sweep_at;  /* number of the start from which on it is worth looking for entries to remove */
	uint64 forgotten; /* no scope that was removed had a greater tag, so new ones begin here */
} FairShare;

static FairShare *fair_share = NULL;
static HTAB		 *share_entries = NULL;

/* memory ----------------------------------------------------------------------- */

static Size
ShareSize(void)
{
	return add_size(MAXALIGN(sizeof(FairShare)), hash_estimate_size(taskq_max_lanes, sizeof(ShareEntry)));
}

static void
ShareStart(void)
{
	HASHCTL ctl = { .keysize = sizeof(ShareKey), .entrysize = sizeof(ShareEntry) };
	bool	found;

	fair_share = ShmemInitStruct("taskq fair shares", sizeof(FairShare), &found);
	share_entries = ShmemInitHash_compat("taskq tags of fair shares", taskq_max_lanes, &ctl, HASH_ELEM | HASH_BLOBS);
	if (found)
		return;
	memset(fair_share, 0, sizeof(FairShare));
	LWLockInitialize(&fair_share->lock, taskq_tranche);
}

/* Called while the library is loaded. */
void
FairShareInit(void)
{
	ShmemRegister(ShareSize, ShareStart);
}

static ShareKey
MemberKey(const ShareScope *scope, int64 member)
{
	return (ShareKey){ MyDatabaseId, scope->kind, scope->id, member };
}

static ShareKey
ScopeKey(const ShareKey *member)
{
	return (ShareKey){ member->dboid, member->kind | IS_SCOPE, member->id, 0 };
}

static ShareEntry *
Find(const ShareKey *key)
{
	return hash_search(share_entries, key, HASH_FIND, NULL);
}

static void
Remove(ShareEntry *entry)
{
	(void) hash_search(share_entries, &entry->key, HASH_REMOVE, NULL);
}

/* Has no member of a scope started anything for so long that it is probably of the past? */
static bool
IsOld(const ShareEntry *scope)
{
	return fair_share->starts - scope->used > 4 * (uint64) taskq_max_lanes;
}

/* Is the entry of no use any more? */
static bool
IsUseless(const ShareEntry *entry)
{
	ShareKey		  key = ScopeKey(&entry->key);
	const ShareEntry *scope = Find(&key);

	if ((entry->key.kind & IS_SCOPE) != 0)
		return IsOld(entry);
	return scope == NULL || IsOld(scope) || !TagPrecedes(scope->tag, entry->tag);
}

/* Remove entries that are of no use.  If there are few, do not look again soon. */
static void
Sweep(void)
{
	HASH_SEQ_STATUS status;
	ShareEntry	   *entry;

	if (fair_share->starts < fair_share->sweep_at)
		return;
	hash_seq_init(&status, share_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (IsUseless(entry))
		{
			if (TagPrecedes(fair_share->forgotten, entry->tag))
				fair_share->forgotten = entry->tag;
			Remove(entry);
		}
	fair_share->sweep_at = fair_share->starts + taskq_max_lanes / 8;
}

/* Find or make an entry.  Returns NULL if there is no room. */
static ShareEntry *
Make(const ShareKey *key, uint64 tag)
{
	ShareEntry *entry = Find(key);

	if (entry != NULL)
		return entry;
	if (hash_get_num_entries(share_entries) >= taskq_max_lanes)
		Sweep();
	if (hash_get_num_entries(share_entries) < taskq_max_lanes)
		entry = hash_search(share_entries, key, HASH_ENTER_NULL, NULL);
	if (entry == NULL)
		return NULL;
	entry->tag = tag;
	entry->used = fair_share->starts;
	return entry;
}

/* turns ------------------------------------------------------------------------ */

/* Return the virtual time of a scope.  The caller holds the lock. */
static uint64
Now(const ShareKey *member)
{
	ShareKey		  key = ScopeKey(member);
	const ShareEntry *scope = Find(&key);

	return scope == NULL ? fair_share->forgotten : scope->tag;
}

/* Return the virtual time: no member that begins to wait has a lesser tag. */
uint64
FairShareNow(const ShareScope *scope)
{
	ShareKey key = MemberKey(scope, 0);
	uint64	 now;

	if (fair_share == NULL)
		return 0;
	LWLockAcquire(&fair_share->lock, LW_SHARED);
	now = Now(&key);
	LWLockRelease(&fair_share->lock);
	return now;
}

/* Return the tag of a member that begins to wait for a turn. */
uint64
FairShareJoin(const ShareScope *scope, int64 member)
{
	return FairShareStay(scope, member, FairShareNow(scope));
}

/* Return the tag of a member that waits with this tag.  It is greater if something was started for it since. */
uint64
FairShareStay(const ShareScope *scope, int64 member, uint64 tag)
{
	ShareKey		  key = MemberKey(scope, member);
	const ShareEntry *entry;

	if (fair_share == NULL)
		return tag;
	LWLockAcquire(&fair_share->lock, LW_SHARED);
	entry = Find(&key);
	if (entry != NULL && TagPrecedes(tag, entry->tag))
		tag = entry->tag;
	LWLockRelease(&fair_share->lock);
	return tag;
}

/*
 * Something starts for a member that has waited with this tag.  If it waited long, because
 * nobody could start anything for it, its tag may be behind the virtual time; it has no
 * advantage from that but the order among those who waited with it.
 */
void
FairShareCharge(const ShareScope *scope, int64 member, uint64 tag, int32 cost)
{
	ShareKey	key = MemberKey(scope, member);
	ShareKey	scope_key = ScopeKey(&key);
	ShareEntry *entry;

	if (fair_share == NULL)
		return;
	LWLockAcquire(&fair_share->lock, LW_EXCLUSIVE);
	fair_share->starts++;
	entry = Make(&key, tag);
	if (entry != NULL)
	{
		if (TagPrecedes(tag, entry->tag))
			tag = entry->tag;
		entry->tag = tag + cost;
	}
	entry = Make(&scope_key, fair_share->forgotten);
	if (entry != NULL)
	{
		if (TagPrecedes(entry->tag, tag))
			entry->tag = tag;
		entry->used = fair_share->starts;
	}
	LWLockRelease(&fair_share->lock);
}

/* Forget a database that was dropped. */
void
FairShareForgetDatabase(Oid dboid)
{
	HASH_SEQ_STATUS status;
	ShareEntry	   *entry;

	if (fair_share == NULL)
		return;
	LWLockAcquire(&fair_share->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, share_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == dboid)
			Remove(entry);
	LWLockRelease(&fair_share->lock);
}
