/*
 * rates.c
 *	  Which jobs may start by the rates and quotas of limits, in shared memory.
 *
 * A claim pays for a start before it locks the job's row: it takes what the job weighs
 * from all limits of the job, under one lock, or nothing.  What is paid is in hand until the
 * claim has read the time of the start (rates_count.c).  If the claim is undone, it gives
 * back what it has paid, unless a handler was called.
 *
 * A rate for up to a minute is in memory only.  Its bucket is empty when the server has
 * started, which is as if the tokens had been used just before.  Other rates and all quotas
 * outlive a restart.  The scheduler stores that a portion has started, commits, and only then
 * lets claims use it (rates_keep.c, process/keep_rates.c).  After a crash the whole
 * portion counts as started.
 *
 * Values.  A limit can be for each value of a key.  Then each value has an entry, which is
 * found by its text (rates_value.c).
 *
 * Waiting.  See rates_wait.c.  The jobs of a limit for values of keys wait in lanes
 * (ready/key_lane_time.c).
 *
 * This file has more than 400 lines, as claims ask and pay all limits of a job in one piece.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/shmem.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "shared/rates_int.h"
#include "shared/shmem.h"

Rates *rates = NULL;
HTAB  *rate_entries = NULL;

/* memory ------------------------------------------------------------------- */

static Size
StructSize(void)
{
	return add_size(offsetof(Rates, databases), mul_size(sizeof(RatesDatabase), taskq_max_databases));
}

static long
MaxEntries(void)
{
	return MAX_RATES + taskq_max_rate_values;
}

static Size
RatesSize(void)
{
	return add_size(MAXALIGN(StructSize()), hash_estimate_size(MaxEntries(), sizeof(RateEntry)));
}

static uint32
HashKey(const void *key, Size size)
{
	const RateKey *rate = key;

	return HeldHash(rate->limit_id, rate->value);
}

static void
RatesStart(void)
{
	HASHCTL ctl = { .keysize = sizeof(RateKey), .entrysize = sizeof(RateEntry), .hash = HashKey };
	bool	found;

	rates = ShmemInitStruct("taskq rates", StructSize(), &found);
	rate_entries = ShmemInitHash_compat("taskq rates of limits", MaxEntries(), &ctl, HASH_ELEM | HASH_FUNCTION);
	if (found)
		return;
	memset(rates, 0, StructSize());
	LWLockInitialize(&rates->lock, taskq_tranche);
	for (int i = 0; i < taskq_max_databases; i++)
	{
		pg_atomic_init_u32(&rates->databases[i].wanted, 0);
		pg_atomic_init_u32(&rates->databases[i].short_of_memory, 0);
	}
}

/* Called while the library is loaded. */
void
RatesInit(void)
{
	ShmemRegister(RatesSize, RatesStart);
}

bool
RatesPresent(void)
{
	return rates != NULL;
}

/* Return what there is for this database, or NULL. */
RatesDatabase *
RatesMine(void)
{
	TaskqDatabase *db = rates == NULL ? NULL : ShmemMyDatabase();

	return db == NULL ? NULL : &rates->databases[db - taskq_databases];
}

RateKey
RateKeyOf(Oid relid, int32 limit_id, const char *value)
{
	RateKey key = { MyDatabaseId, relid, limit_id };

	memcpy(key.value, value, HELD_VALUE_SIZE);
	return key;
}

RateEntry *
RatesFind(const RateKey *key)
{
	Assert(LWLockHeldByMe(&rates->lock));
	return hash_search(rate_entries, key, HASH_FIND, NULL);
}

/* Set an entry to that of a new limit. */
void
RateInit(RateEntry *entry)
{
	memset((char *) entry + sizeof(RateKey), 0, sizeof(RateEntry) - sizeof(RateKey));
	entry->watcher = NOBODY;
	entry->filled_at = ClockSteady();
	entry->is_new = true;
}

/* Is there no room for the entry of another limit, or another value?  Values leave room for limits. */
bool
RatesFull(const RateKey *key)
{
	if (RateIsValue(key))
		return rates->n_values >= taskq_max_rate_values;
	return hash_get_num_entries(rate_entries) - rates->n_values >= MAX_RATES;
}

static void
CountValues(const RateEntry *entry, int by)
{
	rates->n_values += by;
	if (entry->database != NULL)
		entry->database->n_values += by;
}

static RateEntry *
Make(const RateKey *key)
{
	RateEntry *entry = hash_search(rate_entries, key, HASH_ENTER_NULL, NULL);

	if (entry == NULL)
		return NULL;
	RateInit(entry);
	entry->database = RatesMine();
	entry->number = ++rates->numbers;
	if (RateIsValue(key))
		CountValues(entry, 1);
	return entry;
}

/* Return the entry of a limit, and make it if there is none.  Returns NULL if there is no room. */
RateEntry *
RatesMake(const RateKey *key, const RateLimit *limit)
{
	RateEntry *entry = RatesFind(key);
	RateKey	   of_limit = RateLimitKey(key);
	RateEntry *counted;

	if (entry != NULL || RatesFull(key))
		return entry;
	if (!RateIsValue(key))
		return Make(key);
	counted = RatesFind(&of_limit);
	if (counted == NULL && !RatesFull(&of_limit))
		counted = Make(&of_limit);
	entry = counted == NULL ? NULL : Make(key);
	if (entry != NULL)
		RateInitValue(entry, limit, counted);
	return entry;
}

/* Remove an entry.  Who has its address sees that by the number. */
void
RatesRemove(RateEntry *entry)
{
	RateUnwant(entry);
	if (RateIsValue(&entry->key))
		CountValues(entry, -1);
	entry->number = 0;
	(void) hash_search(rate_entries, &entry->key, HASH_REMOVE, NULL);
}

/* claims --------------------------------------------------------------------- */

/* Note that jobs of a route wait for a limit. */
void
RatesNoteHeldUp(RateEntry *entry, int32 route_id)
{
	entry->noted++;
	for (int i = 0; i < Min(entry->n_held_up, MAX_HELD_UP); i++)
		if (entry->held_up[i] == route_id)
			return;
	if (entry->n_held_up < MAX_HELD_UP)
		entry->held_up[entry->n_held_up] = route_id;
	entry->n_held_up = Min(entry->n_held_up + 1, MAX_HELD_UP + 1);
}

/* Have the scheduler reserve portions.  Called without the lock. */
void
RatesAskForPortion(void)
{
	RatesDatabase *mine = RatesMine();

	if (mine == NULL)
		return;
	pg_atomic_write_u32(&mine->wanted, 1);
	ShmemWakeScheduler(ShmemMyDatabase());
}

/* May a job of this weight start under a limit now?  *until is when it may.  "entry" is NULL if there is no room for one. */
RatesAnswer
RateAsk(RateEntry *entry, const RateLimit *limit, int32 weight, int64 now, int64 *until)
{
	int64 by_rate = now;
	int64 by_quota = now;

	*until = RATES_NEVER;
	if (entry != NULL)
		RateCatchUp(entry, limit, now);
	if ((limit->token > 0 && weight > limit->burst) || (limit->quota > 0 && weight > limit->quota))
		return RATES_TOO_HEAVY;
	if (entry == NULL)
		return RATES_NO_MEMORY;
	if (RateLimitReserves(limit) && !entry->known)
		return RATES_UNKNOWN;
	if (RateReserves(entry) && entry->portion < weight)
	{
		if (limit->quota > 0)
			by_quota = RateQuotaAt(entry, weight - entry->portion, now);
		if (limit->lasting)
			by_rate = RateTokensAt(entry, weight - entry->portion, now);
		*until = Max(by_rate, by_quota);
		return by_rate > by_quota || limit->quota == 0 ? RATES_RATE : RATES_QUOTA;
	}
	if (limit->token > 0 && !limit->lasting && entry->level < weight * limit->token)
	{
		*until = RateTokensAt(entry, weight, now);
		return RATES_RATE;
	}
	*until = now;
	return RATES_ROOM;
}

/*
 * Note that a job waits for a limit, of which there is an entry.  If only jobs with the same
 * value of a key wait, their lane does.  Returns whether the scheduler must reserve a portion.
 */
static bool
NoteWaits(RateEntry *entry, const RateLimit *limit, int32 route_id, int32 weight, int64 now)
{
	if (!limit->by_key)
		RatesNoteHeldUp(entry, route_id);
	if (!RateLimitReserves(limit))
	{
		if (!limit->by_key)
			RatesNoteRefused(entry, weight);
		return false;
	}
	/* a claim that knows the limit as it was before may have made it unknown again */
	if (!entry->known)
		RateRetryAt(entry, 0);
	entry->wanted = Max(entry->wanted, weight);
	RateWant(entry);
	return now >= entry->retry_at;
}

/* Note that a job was refused.  Returns whether the scheduler has something to do about it. */
static bool
NoteRefused(RateEntry *entry, const RateLimit *limit, RatesAnswer answer, int32 route_id, int32 weight, int64 now)
{
	RatesDatabase *mine = RatesMine();

	switch (answer)
	{
		case RATES_RATE:
		case RATES_QUOTA:
		case RATES_UNKNOWN:
			return NoteWaits(entry, limit, route_id, weight, now);
		case RATES_NO_MEMORY:
			return limit->by_key && mine != NULL && pg_atomic_exchange_u32(&mine->short_of_memory, 1) == 0;
		case RATES_TOO_HEAVY:
		case RATES_ROOM:
			break;
	}
	return false;
}

/*
 * May a job of this weight start?  If not, returns in *refusal the limit that forbids it.
 * With "wait", a process that waits for the route is woken when it may.
 */
static RatesAnswer
Ask(const RateLimits *limits, int32 weight, int64 now, RatesRefusal *refusal, bool wait, bool *reserve)
{
	for (int i = 0; i < limits->n; i++)
	{
		const RateLimit *limit = &limits->limits[i];
		RateKey			 key = RateKeyOf(limits->relid, limit->limit_id, limit->value);
		RateEntry		 copy;
		RateEntry		*entry = wait ? RatesMake(&key, limit) : RatesCopy(&key, limit, &copy);
		RatesAnswer		 answer = RateAsk(entry, limit, weight, now, &refusal->until);

		if (answer == RATES_ROOM)
			continue;
		refusal->limit = limit;
		if (wait)
			*reserve |= NoteRefused(entry, limit, answer, limits->route_id, weight, now);
		return answer;
	}
	refusal->limit = NULL;
	return RATES_ROOM;
}

RatesAnswer
RatesRoom(const RateLimits *limits, int32 weight, RatesRefusal *refusal, bool wait)
{
	RatesAnswer answer;
	bool		reserve = false;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	answer = Ask(limits, weight, ClockSteady(), refusal, wait, &reserve);
	LWLockRelease(&rates->lock);
	if (reserve)
		RatesAskForPortion();
	return answer;
}

/* Take the weight from an entry.  Returns whether the scheduler should reserve more. */
static bool
TakeOne(RateEntry *entry, int32 weight, int64 now, bool *from_portion)
{
	entry->in_hand += weight;
	if (entry->token > 0 && !entry->lasting)
		entry->level -= weight * entry->token;
	*from_portion = RateReserves(entry);
	if (!*from_portion)
		return false;
	entry->portion -= weight;
	if (!RateIsLow(entry))
		return false;
	RateWant(entry);
	return now >= entry->retry_at;
}

/* Find a limit for a value of a key that lets no other job start now, and when it does. */
static void
FindFull(const RateLimits *limits, const RatePaid *paid, int64 now, RatesRefusal *full, bool *reserve)
{
	for (int i = 0; i < limits->n; i++)
	{
		const RateLimit *limit = &limits->limits[i];
		RateEntry		*entry = paid->limits[i].entry;
		RatesAnswer		 answer;

		if (!limit->by_key)
			continue;
		answer = RateAsk(entry, limit, 1, now, &full->until);
		if (answer == RATES_ROOM)
			continue;
		full->limit = limit;
		*reserve |= NoteRefused(entry, limit, answer, limits->route_id, 1, now);
		return;
	}
}

/*
 * Pay for the start of a job, to all of its limits.  If it may not start now, returns in
 * *refusal the limit that forbids it.  If it may, that is a limit for a value of a key
 * because of which no other job with the value can start now, if there is one.
 */
RatesAnswer
RatesTake(const RateLimits *limits, int32 weight, RatePaid *paid, RatesRefusal *refusal)
{
	int64		now = ClockSteady();
	bool		reserve = false;
	RatesAnswer answer;

	memset(paid, 0, offsetof(RatePaid, limits));
	paid->weight = weight;
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	answer = Ask(limits, weight, now, refusal, true, &reserve);
	for (int i = 0; answer == RATES_ROOM && i < limits->n; i++)
	{
		const RateLimit *limit = &limits->limits[i];
		RateKey			 key = RateKeyOf(limits->relid, limit->limit_id, limit->value);
		RateEntry		*entry = RatesFind(&key);

		reserve |= TakeOne(entry, weight, now, &paid->limits[i].from_portion);
		paid->limits[i].entry = entry;
		paid->limits[i].number = entry->number;
		paid->limits[i].by_key = limit->by_key;
		paid->n++;
	}
	if (answer == RATES_ROOM)
		FindFull(limits, paid, now, refusal, &reserve);
	LWLockRelease(&rates->lock);
	if (reserve)
		RatesAskForPortion();
	return answer;
}

/*
 * Is something paid for all that a job must pay now?  What was paid from a bucket, by a limit
 * that had no portions yet, was not stored before.
 */
bool
RatesArePaid(const RateLimits *limits, const RatePaid *paid)
{
	bool all = true;

	LWLockAcquire(&rates->lock, LW_SHARED);
	for (int i = 0; i < limits->n && all; i++)
	{
		RateKey			 key = RateKeyOf(limits->relid, limits->limits[i].limit_id, limits->limits[i].value);
		const RateEntry *entry = RatesFind(&key);
		bool			 is_paid = false;

		for (int j = 0; j < paid->n && entry != NULL; j++)
			is_paid |= paid->limits[j].entry == entry && paid->limits[j].number == entry->number &&
					   paid->limits[j].from_portion == RateLimitReserves(&limits->limits[i]);
		all = is_paid;
	}
	LWLockRelease(&rates->lock);
	return all;
}

/* Return the entry of a limit to which was paid, or NULL. */
static RateEntry *
PaidEntry(const RatePaid *paid, int i)
{
	return paid->limits[i].entry->number == paid->limits[i].number ? paid->limits[i].entry : NULL;
}

/* The start that was paid for has a time now. */
void
RatesStarted(RatePaid *paid)
{
	int64 now = ClockSteady();

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	for (int i = 0; i < paid->n; i++)
	{
		RateEntry *entry = PaidEntry(paid, i);

		if (entry == NULL)
			continue;
		RateAdvance(entry, now);
		entry->in_hand = Max(entry->in_hand - paid->weight, 0);
		if (entry->part_length > 0)
			entry->used[entry->part % PARTS_KEPT] += paid->weight;
	}
	LWLockRelease(&rates->lock);
	paid->started = true;
	paid->started_at = now;
}

/* Take a start out of the part in which it was counted. */
static void
Uncount(RateEntry *entry, const RatePaid *paid, int64 now)
{
	int64  part = entry->part_length == 0 ? 0 : paid->started_at / entry->part_length;
	int32 *used = &entry->used[part % PARTS_KEPT];

	RateAdvance(entry, now);
	if (entry->part_length > 0 && part >= entry->part - QUOTA_PARTS && part <= entry->part)
		*used = Max(*used - paid->weight, 0);
}

/*
 * Give back what was paid, as the job does not start.  A portion is not given back after
 * the start had a time: what is stored may count it as of that time.
 */
static void
ReturnOne(RateEntry *entry, const RatePaid *paid, bool from_portion, int64 now)
{
	if (paid->started)
		Uncount(entry, paid, now);
	else
		entry->in_hand = Max(entry->in_hand - paid->weight, 0);
	if (RateReserves(entry) && from_portion && !paid->started)
		entry->portion += paid->weight;
	if (entry->token > 0 && (!entry->lasting || paid->started))
	{
		int64 tokens = paid->weight * entry->token;

		entry->level += paid->started ? tokens - RateLoss(entry, paid->started_at, now, tokens) : tokens;
	}
	RateCap(entry);
	RateRetryAt(entry, 0);
}

/* Add a value of a limit to those of which something was returned. */
static void
AddFreed(const RateEntry *entry, HeldValues *freed)
{
	HeldValue *value = &freed->values[freed->n++];

	value->relid = entry->key.relid;
	value->limit_id = entry->key.limit_id;
	value->kind = HELD_RATE;
	memcpy(value->value, entry->key.value, HELD_VALUE_SIZE);
}

/*
 * The claim that has paid was undone before a handler was called.  "freed" returns the values
 * for which lanes may wait.  This is called after an abort, so it allocates no memory and
 * cannot fail.
 */
void
RatesReturn(const RatePaid *paid, HeldValues *freed)
{
	int64	 now = ClockSteady();
	RateWake wake = { 0 };
	bool	 reserve = false;

	freed->n = 0;
	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	for (int i = 0; i < paid->n; i++)
	{
		RateEntry *entry = PaidEntry(paid, i);

		if (entry == NULL)
			continue;
		ReturnOne(entry, paid, paid->limits[i].from_portion, now);
		if (entry->wanted > 0)
			RateWant(entry);
		reserve |= entry->wanted > 0;
		RatesCollect(entry, &wake);
		if (paid->limits[i].by_key)
			AddFreed(entry, freed);
	}
	LWLockRelease(&rates->lock);
	if (reserve)
		RatesAskForPortion();
	RatesWake(&wake, 1);
}

/*
 * A start was undone that stays paid, because this process starts the job again.  So it
 * has no time yet.  Cannot fail.
 */
void
RatesUnstart(RatePaid *paid)
{
	int64 now = ClockSteady();

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	for (int i = 0; i < paid->n && paid->started; i++)
	{
		RateEntry *entry = PaidEntry(paid, i);

		if (entry == NULL)
			continue;
		Uncount(entry, paid, now);
		entry->in_hand += paid->weight;
		RateCap(entry);
	}
	LWLockRelease(&rates->lock);
	paid->started = paid->called = false;
}
