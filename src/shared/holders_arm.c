/*
 * holders_arm.c
 *	  Arming limits, and finding holders whose jobs do not run: what the scheduler does
 *	  with the memory of holders.c.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "shared/holders_int.h"
#include "shared/shmem.h"

/* The claims that were open when a limit was found to be new. */
typedef struct Awaited
{
	int	   slot;
	uint64 claims; /* TaskqSlot.claims then */
} Awaited;

static Awaited *awaited = NULL;
static int		n_awaited = 0;

/* Is this id in a sorted array? */
static bool
IsIn(int32 limit_id, const int32 *limit_ids, int n)
{
	for (int i = 0; i < n; i++)
		if (limit_ids[i] == limit_id)
			return true;
	return false;
}

/* Remove the entries of limits of this database that do not exist any more. */
static void
RemoveOthers(Oid relid, const int32 *limit_ids, int n)
{
	HASH_SEQ_STATUS status;
	LimitEntry	   *entry;

	hash_seq_init(&status, limit_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == MyDatabaseId && (entry->key.relid != relid || !IsIn(entry->key.limit_id, limit_ids, n)))
			(void) hash_search(limit_entries, &entry->key, HASH_REMOVE, NULL);
}

/* Rows are not being added any more.  Remove the entries of claims that have ended meanwhile. */
static void
EndCounting(HoldersDatabase *mine)
{
	HASH_SEQ_STATUS status;
	Holder		   *holder;

	hash_seq_init(&status, holder_entries);
	while ((holder = hash_seq_search(&status)) != NULL)
		if (holder->key.dboid == MyDatabaseId && holder->released)
		{
			(void) hash_search(holder_entries, &holder->key, HASH_REMOVE, NULL);
			mine->n_holders--;
		}
	mine->counting = false;
	HoldersSetUsed(mine);
}

/* Make the entry of a limit, if it has none.  Returns true if it was made. */
static bool
MakeEntry(Oid relid, int32 limit_id)
{
	LimitKey	key = { MyDatabaseId, relid, limit_id };
	LimitEntry *entry = HoldersFindLimit(relid, limit_id);

	if (entry != NULL)
		return false;
	if (hash_get_num_entries(limit_entries) < MAX_LIMITS)
		entry = hash_search(limit_entries, &key, HASH_ENTER_NULL, NULL);
	if (entry == NULL)
		return false;
	memset((char *) entry + sizeof(LimitKey), 0, sizeof(LimitEntry) - sizeof(LimitKey));
	return true;
}

/* Add the transactions that claim jobs now to those that are awaited. */
static void
AwaitOpenClaims(void)
{
	int n = 0;

	if (awaited == NULL)
		awaited = MemoryContextAlloc(TopMemoryContext, sizeof(Awaited) * taskq_shared->n_slots);
	pg_memory_barrier();
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		uint64 claims = pg_atomic_read_u64(&taskq_slots[i].claims);

		/* a process that ends clears its database before its transaction is rolled back */
		if (claims % 2 == 1 && (taskq_slots[i].dboid == MyDatabaseId || !OidIsValid(taskq_slots[i].dboid)))
			awaited[n++] = (Awaited){ i, claims };
	}
	n_awaited = n;
}

/*
 * Make the entries of these limits, which are all that exist.  Returns true if one of
 * them is not armed.
 */
bool
HoldersMake(Oid relid, const int32 *limit_ids, int n)
{
	HoldersDatabase *mine = HoldersMine();
	bool			 made = false;
	bool			 unarmed = false;

	if (mine == NULL)
		return false;
	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	if (mine->dboid != MyDatabaseId)
	{
		mine->dboid = MyDatabaseId;
		mine->n_holders = mine->n_awaited = 0;
		mine->counting = false;
		HoldersSetUsed(mine);
	}
	RemoveOthers(relid, limit_ids, n);
	for (int i = 0; i < n; i++)
	{
		LimitEntry *entry;

		made |= MakeEntry(relid, limit_ids[i]);
		entry = HoldersFindLimit(relid, limit_ids[i]);
		unarmed |= entry == NULL || !entry->armed;
	}
	if (!unarmed && mine->counting)
		EndCounting(mine);
	LWLockRelease(&holders->lock);
	pg_atomic_write_u32(&mine->arming, unarmed ? 1 : 0);

	/* an earlier round may still wait for some of them; all are waited for again */
	if (made || (unarmed && awaited == NULL))
		AwaitOpenClaims();
	return unarmed;
}

/* Have all transactions ended that are awaited?  Shows which have not. */
bool
HoldersAwaitClaims(void)
{
	HoldersDatabase *mine = HoldersMine();
	int				 kept = 0;

	for (int i = 0; i < n_awaited; i++)
		if (pg_atomic_read_u64(&taskq_slots[awaited[i].slot].claims) == awaited[i].claims)
			awaited[kept++] = awaited[i];
	n_awaited = kept;
	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	mine->n_awaited = Min(n_awaited, MAX_AWAITED);
	for (int i = 0; i < mine->n_awaited; i++)
		mine->awaited[i] = taskq_slots[awaited[i].slot].pid;
	LWLockRelease(&holders->lock);
	return n_awaited == 0;
}

/* From now on remember the claims that end.  Called before the snapshot with which running rows are read. */
void
HoldersBeginCount(void)
{
	HoldersDatabase *mine = HoldersMine();

	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	mine->counting = true;
	HoldersSetUsed(mine);
	LWLockRelease(&holders->lock);
}

/* Let a running job hold its limits, unless its claim has ended.  Returns false if there is no room. */
bool
HoldersAdd(const HeldLimits *limits, int64 job_id, int64 epoch)
{
	HoldersDatabase *mine = HoldersMine();
	Holder			*holder;
	bool			 is_noted;

	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	Assert(mine->counting);
	holder = HoldersEnter(mine, limits->relid, job_id, epoch);
	is_noted = holder != NULL;
	for (int i = 0; is_noted && !holder->released && i < limits->n; i++)
	{
		LimitEntry *entry = HoldersFindLimit(limits->relid, limits->limits[i].limit_id);

		if (entry != NULL && !entry->armed)
			is_noted = HolderAdd(holder, entry, &limits->limits[i]) == HOLDERS_ROOM;
	}
	LWLockRelease(&holders->lock);
	return is_noted;
}

/* All running rows were added.  If that is complete, the limits are armed. */
void
HoldersEndCount(Oid relid, bool complete)
{
	HoldersDatabase *mine = HoldersMine();
	HASH_SEQ_STATUS	 status;
	LimitEntry		*entry;

	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	EndCounting(mine);
	hash_seq_init(&status, limit_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == MyDatabaseId && entry->key.relid == relid && !entry->armed)
		{
			entry->armed = complete;
			entry->lacks_memory = !complete;
		}
	LWLockRelease(&holders->lock);
	pg_atomic_write_u32(&mine->arming, complete ? 0 : 1);
}

/*
 * Copy the entries of claims whose transactions have ended: each must have a running row
 * that a new snapshot sees.  Returns their number.
 */
int
HoldersCopy(HeldJob **jobs)
{
	HoldersDatabase *mine = HoldersMine();
	HASH_SEQ_STATUS	 status;
	Holder			*holder;
	int				 n = 0;
	int				 most;

	LWLockAcquire(&holders->lock, LW_SHARED);
	most = mine->dboid == MyDatabaseId ? mine->n_holders : 0;
	LWLockRelease(&holders->lock);
	*jobs = palloc_extended(sizeof(HeldJob) * (most + 1), MCXT_ALLOC_HUGE);
	if (most == 0)
		return 0;
	LWLockAcquire(&holders->lock, LW_SHARED);
	hash_seq_init(&status, holder_entries);
	while ((holder = hash_seq_search(&status)) != NULL)
		if (n < most && holder->key.dboid == MyDatabaseId &&
			(holder->slot < 0 || pg_atomic_read_u64(&taskq_slots[holder->slot].claims) != holder->claims))
			(*jobs)[n++] = (HeldJob){ holder->key.job_id, holder->key.epoch };
	LWLockRelease(&holders->lock);
	return n;
}

/* A prepared transaction may have ended claims. */
void
HoldersDoubt(void)
{
	HoldersDatabase *mine = HoldersMine();

	if (mine != NULL)
		pg_atomic_write_u32(&mine->doubt, 1);
}

/* May there be entries of claims that have ended? */
bool
HoldersInDoubt(bool clear)
{
	HoldersDatabase *mine = HoldersMine();

	if (mine == NULL)
		return false;
	return (clear ? pg_atomic_exchange_u32(&mine->doubt, 0) : pg_atomic_read_u32(&mine->doubt)) != 0;
}

/* Are there entries? */
bool
HoldersAny(void)
{
	HoldersDatabase *mine = HoldersMine();

	return mine != NULL && pg_atomic_read_u32(&mine->used) != 0;
}

/* Forget all of a database that was dropped, or in which taskq was. */
void
HoldersForgetDatabase(Oid dboid)
{
	HASH_SEQ_STATUS status;
	LimitEntry	   *entry;
	Holder		   *holder;
	ValueEntry	   *value;

	if (holders == NULL)
		return;
	LWLockAcquire(&holders->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, limit_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == dboid)
			(void) hash_search(limit_entries, &entry->key, HASH_REMOVE, NULL);
	hash_seq_init(&status, holder_entries);
	while ((holder = hash_seq_search(&status)) != NULL)
		if (holder->key.dboid == dboid)
			(void) hash_search(holder_entries, &holder->key, HASH_REMOVE, NULL);
	hash_seq_init(&status, value_entries);
	while ((value = hash_seq_search(&status)) != NULL)
		if (value->key.dboid == dboid)
			(void) hash_search(value_entries, &value->key, HASH_REMOVE, NULL);
	for (int i = 0; i < taskq_shared->n_databases; i++)
		if (holders->databases[i].dboid == dboid)
		{
			HoldersDatabase *database = &holders->databases[i];

			database->dboid = InvalidOid;
			database->n_holders = database->n_awaited = 0;
			database->counting = false;
			HoldersSetUsed(database);
			pg_atomic_write_u32(&database->arming, 0);
			pg_atomic_write_u32(&database->doubt, 0);
			pg_atomic_write_u32(&database->short_of_memory, 0);
		}
	LWLockRelease(&holders->lock);
}

/* Read the state of a limit. */
HeldState
HoldersStateOf(Oid relid, int32 limit_id)
{
	HeldState	state = { HOLDERS_ARMING, 0 };
	LimitEntry *entry;

	if (holders == NULL)
		return state;
	LWLockAcquire(&holders->lock, LW_SHARED);
	entry = HoldersFindLimit(relid, limit_id);
	state.answer = entry != NULL && entry->armed ? HOLDERS_ROOM : HoldersWhyUnarmed(entry);
	state.in_use = entry == NULL ? 0 : entry->in_use;
	LWLockRelease(&holders->lock);
	return state;
}

/* Copy the ids of the processes whose claims are awaited; returns their number. */
int
HoldersAwaited(int *pids)
{
	HoldersDatabase *mine = HoldersMine();
	int				 n = 0;

	if (mine == NULL)
		return 0;
	LWLockAcquire(&holders->lock, LW_SHARED);
	if (mine->dboid == MyDatabaseId)
		n = mine->n_awaited;
	memcpy(pids, mine->awaited, sizeof(int) * n);
	LWLockRelease(&holders->lock);
	return n;
}
