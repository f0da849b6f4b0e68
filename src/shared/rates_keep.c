/*
 * rates_keep.c
 *	  Reserving what limits let start, and showing it: what the scheduler and the views do
 *	  with the memory of rates.c.
 *
 * What is stored of a limit is its state after a portion has been taken, and beside it
 * how much was reserved: the portion, what was left of earlier ones, and what was in hand.
 * Claims start no more than that before the next state is stored.  After a crash all of it
 * counts as started just before the server was up again.  That is later than it was, so no
 * window has more than the limit allows.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "shared/rates_int.h"
#include "shared/shmem.h"

/* Remove the entries of limits of this database that do not exist any more. */
void
RatesKeepOnly(Oid relid, const int32 *limit_ids, int n)
{
	HASH_SEQ_STATUS status;
	RateEntry	   *entry;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, rate_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		bool exists = false;

		if (entry->key.dboid != MyDatabaseId)
			continue;
		for (int i = 0; i < n && entry->key.relid == relid; i++)
			exists |= limit_ids[i] == entry->key.limit_id;
		if (!exists)
			RatesRemove(entry);
	}
	LWLockRelease(&rates->lock);
}

/* Forget all of a database that was dropped, or in which taskq was. */
void
RatesForgetDatabase(Oid dboid)
{
	HASH_SEQ_STATUS status;
	RateEntry	   *entry;

	if (rates == NULL)
		return;
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, rate_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == dboid)
			RatesRemove(entry);
	LWLockRelease(&rates->lock);
}

/*
 * Make the entry of a limit of which nothing is stored, so that its bucket begins to fill, also
 * if nobody claims.  That of a limit for each value has no bucket, and only says since when
 * starts are counted.
 */
void
RatesBegin(Oid relid, const RateLimit *limit, bool for_values)
{
	RateKey	   key = RateKeyOf(relid, limit->limit_id, limit->value);
	RateEntry *entry;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	entry = RatesMake(&key, limit);
	if (entry != NULL && !for_values)
		RateCatchUp(entry, limit, ClockSteady());
	LWLockRelease(&rates->lock);
}

/* Was it read what is stored of a limit? */
bool
RatesIsKnown(Oid relid, const RateLimit *limit)
{
	RateKey			 key = RateKeyOf(relid, limit->limit_id, limit->value);
	const RateEntry *entry;
	bool			 is_known;

	LWLockAcquire(&rates->lock, LW_SHARED);
	entry = RatesFind(&key);
	is_known = entry != NULL && entry->known;
	LWLockRelease(&rates->lock);
	return is_known;
}

/* Set the parts of a quota's window from what was stored so long ago. */
static void
SetParts(RateEntry *entry, const RateStored *stored, int64 elapsed)
{
	int64 passed = stored->part_length == 0 ? 0 : elapsed / stored->part_length;
	int64 sum = stored->reserved;

	for (int i = 0; i < PARTS_KEPT; i++)
	{
		int64 age = QUOTA_PARTS - i + passed; /* in parts */

		if (stored->part_length != entry->part_length)
			sum += stored->used[i];
		else if (age < PARTS_KEPT && age <= entry->part)
			entry->used[(entry->part - age) % PARTS_KEPT] = stored->used[i];
		else if (age < PARTS_KEPT)
			sum += stored->used[i];
	}
	entry->used[entry->part % PARTS_KEPT] = Min(entry->used[entry->part % PARTS_KEPT] + sum, PG_INT32_MAX);
}

/*
 * Set the state of a limit as it was stored "elapsed" microseconds ago.  "stored" is NULL if
 * the limit is new, or had nothing to store: then all of it is free.
 */
void
RatesKnow(Oid relid, const RateLimit *limit, const RateStored *stored, int64 elapsed)
{
	RateKey	   key = RateKeyOf(relid, limit->limit_id, limit->value);
	RateEntry *entry;
	int64	   most = limit->burst * limit->token;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	entry = RatesMake(&key, limit);
	if (entry != NULL && !entry->known)
	{
		RateCatchUp(entry, limit, ClockSteady());
		if (limit->lasting && stored == NULL && entry->is_new)
			entry->level = most;
		else if (limit->lasting && stored != NULL)
			entry->level = Min(Min(stored->tokens, limit->burst) * limit->token + Min(elapsed, PG_INT64_MAX / 4000) * 1000,
							   Max(limit->burst - stored->reserved, 0) * limit->token);
		if (limit->quota > 0 && stored != NULL)
			SetParts(entry, stored, elapsed);
		RateCap(entry);
		entry->known = true;
		entry->is_new = false;
	}
	LWLockRelease(&rates->lock);
}

/* Does a claim wait for a portion? */
bool
RatesWanted(bool clear)
{
	RatesDatabase *mine = RatesMine();

	if (mine == NULL)
		return false;
	return (clear ? pg_atomic_exchange_u32(&mine->wanted, 0) : pg_atomic_read_u32(&mine->wanted)) != 0;
}

/* How large is a portion?  After a crash all of it counts as started, so it is a small part. */
static int64
PortionOf(const RateEntry *entry)
{
	int64 portion = PG_INT64_MAX;

	if (entry->lasting)
		portion = Max(entry->burst / 4, 1);
	if (entry->quota > 0)
		portion = Min(portion, Max(entry->quota / 8, 1));
	return Max(portion, entry->wanted);
}

/* Should the scheduler reserve more, before a claim has to wait for it? */
bool
RateIsLow(const RateEntry *entry)
{
	return entry->portion * 2 < PortionOf(entry);
}

/*
 * Plan the next portion of a limit.  Returns how much it is, and in *stored the state to store
 * before RatesGrant() may be called.  If a portion is needed and there is none, *retry_at is
 * when there is.
 */
int64
RatesPlan(Oid relid, const RateLimit *limit, RateStored *stored, int64 *retry_at)
{
	RateKey	   key = RateKeyOf(relid, limit->limit_id, limit->value);
	RateEntry *entry;
	int64	   now = ClockSteady();
	int64	   portion = 0;

	*retry_at = RATES_NEVER;
	memset(stored, 0, sizeof(*stored));
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	entry = RatesFind(&key);
	if (entry != NULL && entry->known)
	{
		int64 least = Max(entry->wanted - entry->portion, RateIsLow(entry) ? 1 : 0);

		RateCatchUp(entry, limit, now);
		portion = PortionOf(entry) - entry->portion;
		if (entry->lasting)
			portion = Min(portion, entry->level / entry->token);
		if (entry->quota > 0)
			portion = Min(portion, entry->quota - RateUsed(entry) - entry->in_hand - entry->portion);
		if (least <= 0)
			portion = 0;
		else if (portion < least)
		{
			*retry_at = now;
			if (entry->lasting)
				*retry_at = RateTokensAt(entry, least, now);
			if (entry->quota > 0)
				*retry_at = Max(*retry_at, RateQuotaAt(entry, least, now));
			RateWant(entry);
			portion = 0;
		}
		RateRetryAt(entry, least > 0 && portion == 0 ? *retry_at : 0);
		if (entry->lasting)
			stored->tokens = entry->level / entry->token - portion;
		stored->reserved = entry->portion + entry->in_hand + portion;
		stored->part_length = entry->part_length;
		for (int64 i = 0; i < PARTS_KEPT && entry->part_length > 0; i++)
			stored->used[i] = entry->used[(entry->part + 1 + i) % PARTS_KEPT];
	}
	LWLockRelease(&rates->lock);
	return portion;
}

/* The state was stored, and that is committed.  Let claims use the portion, and wake who waits for it. */
void
RatesGrant(Oid relid, const RateLimit *limit, int64 portion)
{
	RateKey	   key = RateKeyOf(relid, limit->limit_id, limit->value);
	RateEntry *entry;
	RateWake   wake = { 0 };

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	entry = RatesFind(&key);
	if (entry != NULL)
	{
		entry->portion += portion;
		RateCapPortion(entry);
		if (entry->lasting)
			entry->level = Max(entry->level - portion * entry->token, 0);
		entry->wanted = 0;
		RatesCollect(entry, &wake);
	}
	LWLockRelease(&rates->lock);
	RatesWake(&wake, (int) Min(portion, PG_INT16_MAX));
}

/*
 * Return a copy of the entry of a limit, for those that only look: the limit may have been
 * changed by a transaction that is rolled back later.  Returns NULL if there is none, and no room for it.
 */
RateEntry *
RatesCopy(const RateKey *key, const RateLimit *limit, RateEntry *copy)
{
	const RateEntry *entry = RatesFind(key);

	RateKey of_limit = RateLimitKey(key);

	if (entry == NULL && RatesFull(key))
		return NULL;
	if (entry != NULL)
		*copy = *entry;
	else
	{
		copy->key = *key;
		RateInit(copy);
		if (RateIsValue(key))
			RateInitValue(copy, limit, RatesFind(&of_limit));
	}
	return copy;
}

/* Read the state of a limit. */
RateState
RatesStateOf(Oid relid, const RateLimit *limit)
{
	RateKey	   key = RateKeyOf(relid, limit->limit_id, limit->value);
	RateState  state = { RATES_UNKNOWN, RATES_NEVER, -1, -1 };
	RateEntry  copy;
	RateEntry *entry;

	if (rates == NULL)
		return state;
	LWLockAcquire(&rates->lock, LW_SHARED);
	entry = RatesCopy(&key, limit, &copy);
	state.answer = RateAsk(entry, limit, 1, ClockSteady(), &state.until);
	if (entry != NULL && limit->token > 0)
		state.tokens = entry->level / limit->token + (limit->lasting ? entry->portion : 0);
	if (entry != NULL && limit->quota > 0)
		state.left = Max(entry->quota - RateUsed(entry) - entry->in_hand, 0);
	LWLockRelease(&rates->lock);
	return state;
}

/* Is there the entry that says since when the starts of a limit for each value are counted? */
RatesAnswer
RatesCountValues(Oid relid, const RateLimit *limit)
{
	RateKey		key = RateKeyOf(relid, limit->limit_id, limit->value);
	RatesAnswer answer = RATES_ROOM;

	if (rates == NULL)
		return RATES_UNKNOWN;
	LWLockAcquire(&rates->lock, LW_SHARED);
	if (RatesFind(&key) == NULL)
		answer = RatesFull(&key) ? RATES_NO_MEMORY : RATES_UNKNOWN;
	LWLockRelease(&rates->lock);
	return answer;
}
