/*
 * rates_value.c
 *	  Rates and quotas that are for each value of a key.
 *
 * A value has an entry only as long as something is to be remembered of it.  When its bucket
 * is full and its window empty, nothing is, and the scheduler removes the entry.  So a value
 * without an entry has had no start for so long that all of its burst and quota is free.
 * That is true from the moment on since which starts are counted, that of the entry of
 * the limit itself.  If what started before is not stored, a new value begins with the tokens
 * that came in since then.
 *
 * Values of which the scheduler must reserve a portion are in a heap for each database.  So it
 * never looks at the others.
 *
 * The caller of functions whose names begin with Rate holds the lock.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "base/guc.h"
#include "shared/rates_int.h"
#include "shared/shmem.h"

/* Is this one value of a limit, and not a limit for all its jobs alike? */
bool
RateIsValue(const RateKey *key)
{
	return key->value[0] != '\0' || key->value[TASKQ_NAME_MAX + 1] != '\0';
}

/* Return the key of the limit itself. */
RateKey
RateLimitKey(const RateKey *key)
{
	return (RateKey){ key->dboid, key->relid, key->limit_id };
}

/* Set the entry of a value to what is known of one without an entry.  "counted" is that of the limit, or NULL. */
void
RateInitValue(RateEntry *entry, const RateLimit *limit, const RateEntry *counted)
{
	int64 now = ClockSteady();

	entry->token = limit->token;
	entry->burst = limit->burst;
	entry->lasting = limit->lasting;
	entry->quota = limit->quota;
	entry->part_length = limit->part_length;
	if (limit->part_length > 0)
		entry->part = now / limit->part_length;
	if (counted != NULL)
		entry->filled_at = counted->filled_at;
	entry->is_new = RateLimitReserves(limit);
	RateAdvance(entry, now);
}

/* portions --------------------------------------------------------------------- */

/* The first of a pairing heap is the greatest, so that is the one with the least moment. */
static int
CompareRetry(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	int64 left = pairingheap_const_container(RateEntry, node, a)->retry_at;
	int64 right = pairingheap_const_container(RateEntry, node, b)->retry_at;

	return (left < right) - (left > right);
}

/* Have the scheduler reserve a portion of a value, at retry_at. */
void
RateWant(RateEntry *entry)
{
	pairingheap heap = { .ph_compare = CompareRetry };

	if (entry->is_wanting || entry->database == NULL || !RateIsValue(&entry->key))
		return;
	heap.ph_root = entry->database->wanting;
	pairingheap_add(&heap, &entry->node);
	entry->database->wanting = heap.ph_root;
	entry->is_wanting = true;
}

void
RateUnwant(RateEntry *entry)
{
	pairingheap heap = { .ph_compare = CompareRetry };

	if (!entry->is_wanting)
		return;
	heap.ph_root = entry->database->wanting;
	pairingheap_remove(&heap, &entry->node);
	entry->database->wanting = heap.ph_root;
	entry->is_wanting = false;
}

/* Set when there is a portion again. */
void
RateRetryAt(RateEntry *entry, int64 moment)
{
	bool is_wanting = entry->is_wanting;

	RateUnwant(entry);
	entry->retry_at = moment;
	if (is_wanting)
		RateWant(entry);
}

static void
CopyValue(const RateEntry *entry, RateValue *value)
{
	value->limit_id = entry->key.limit_id;
	memcpy(value->value, entry->key.value, HELD_VALUE_SIZE);
}

/* Return the value for which there is a portion next, or NULL. */
static RateEntry *
FirstWanting(const RatesDatabase *mine)
{
	return mine == NULL || mine->wanting == NULL ? NULL : pairingheap_container(RateEntry, node, mine->wanting);
}

/*
 * Copy values for which a portion is to be reserved now, and return their number.  They are
 * taken from the heap.  RatesPlan() puts those back that have to wait.
 */
int
RatesWanting(Oid relid, RateValue *values, int most)
{
	RatesDatabase *mine = RatesMine();
	RateEntry	  *entry;
	int64		   now = ClockSteady();
	int			   n = 0;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	while (n < most && (entry = FirstWanting(mine)) != NULL && entry->retry_at <= now)
	{
		RateUnwant(entry);
		if (entry->key.relid == relid)
			CopyValue(entry, &values[n++]);
	}
	LWLockRelease(&rates->lock);
	return n;
}

/* When is there a portion for a value again?  RATES_NEVER if none needs one. */
int64
RatesNextWanting(void)
{
	const RateEntry *entry;
	int64			 next;

	LWLockAcquire(&rates->lock, LW_SHARED);
	entry = FirstWanting(RatesMine());
	next = entry == NULL ? RATES_NEVER : entry->retry_at;
	LWLockRelease(&rates->lock);
	return next;
}

/* Limits have changed.  There may be portions now for which values were to wait. */
void
RatesRetryAll(void)
{
	RatesDatabase  *mine = RatesMine();
	HASH_SEQ_STATUS status;
	RateEntry	   *entry;

	if (mine == NULL)
		return;
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, rate_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->database == mine && entry->is_wanting)
			RateRetryAt(entry, 0);
	LWLockRelease(&rates->lock);
}

/* A portion could not be reserved.  Try it again. */
void
RatesWantAgain(Oid relid, const RateValue *value)
{
	RateKey	   key = RateKeyOf(relid, value->limit_id, value->value);
	RateEntry *entry;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	entry = RatesFind(&key);
	if (entry != NULL)
		RateWant(entry);
	LWLockRelease(&rates->lock);
}

/* memory ----------------------------------------------------------------------- */

/* Is nothing to be remembered of a value? */
static bool
IsIdle(RateEntry *entry, int64 now)
{
	int64 ahead = entry->lasting ? entry->portion : 0;

	RateAdvance(entry, now);
	return entry->in_hand == 0 && entry->wanted == 0 && !entry->is_wanting && entry->watcher == NOBODY &&
		   entry->level >= (entry->burst - ahead) * entry->token && RateUsed(entry) == 0;
}

/*
 * Remove values of which nothing is to be remembered.  Returns how many of them may be stored,
 * and which ones, at most "most".  With *more, there may be others.
 */
int
RatesSweep(RateValue *values, int most, bool *more)
{
	HASH_SEQ_STATUS status;
	RateEntry	   *entry;
	int64			now = ClockSteady();
	int				n = 0;

	*more = false;
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, rate_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->key.dboid != MyDatabaseId || !RateIsValue(&entry->key) || !IsIdle(entry, now))
			continue;
		if (RateReserves(entry) && n == most)
		{
			*more = true;
			continue;
		}
		if (RateReserves(entry))
			CopyValue(entry, &values[n++]);
		RatesRemove(entry);
	}
	LWLockRelease(&rates->lock);
	return n;
}

/* Is there an entry of a value? */
bool
RatesHaveValue(Oid relid, const RateValue *value)
{
	RateKey key = RateKeyOf(relid, value->limit_id, value->value);
	bool	found;

	LWLockAcquire(&rates->lock, LW_SHARED);
	found = RatesFind(&key) != NULL;
	LWLockRelease(&rates->lock);
	return found;
}

/* Are there entries of values of this database? */
bool
RatesAnyValues(void)
{
	RatesDatabase *mine = RatesMine();

	return mine != NULL && mine->n_values > 0;
}

/* Does a job wait because there was no room for its value? */
bool
RatesShort(void)
{
	RatesDatabase *mine = RatesMine();

	return mine != NULL && pg_atomic_read_u32(&mine->short_of_memory) != 0;
}

/* Is there room for another value?  If so, nobody waits for it any more, as the caller lets those go who do. */
bool
RatesHaveRoom(void)
{
	RatesDatabase *mine = RatesMine();
	bool		   has_room;

	LWLockAcquire(&rates->lock, LW_SHARED);
	has_room = rates->n_values < taskq_max_rate_values;
	LWLockRelease(&rates->lock);
	if (has_room && mine != NULL)
		(void) pg_atomic_exchange_u32(&mine->short_of_memory, 0);
	return has_room;
}

/* views ------------------------------------------------------------------------ */

/* Copy the values of a limit.  Returns their number. */
int
RatesValuesOf(Oid relid, int32 limit_id, RateValue **values)
{
	HASH_SEQ_STATUS status;
	RateEntry	   *entry;
	int				most = rates == NULL ? 0 : taskq_max_rate_values;
	int				n = 0;

	*values = palloc_extended(sizeof(RateValue) * (most + 1), MCXT_ALLOC_HUGE);
	if (rates == NULL)
		return 0;
	LWLockAcquire(&rates->lock, LW_SHARED);
	hash_seq_init(&status, rate_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == MyDatabaseId && entry->key.relid == relid && entry->key.limit_id == limit_id &&
			RateIsValue(&entry->key) && n < most)
			CopyValue(entry, &(*values)[n++]);
	LWLockRelease(&rates->lock);
	return n;
}
