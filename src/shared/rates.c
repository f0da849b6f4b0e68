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
 * Waiting.  See rates_wait.c.
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

static Size
RatesSize(void)
{
	return add_size(MAXALIGN(StructSize()), hash_estimate_size(MAX_RATES, sizeof(RateEntry)));
}

static void
RatesStart(void)
{
	HASHCTL ctl = { .keysize = sizeof(RateKey), .entrysize = sizeof(RateEntry) };
	bool	found;

	rates = ShmemInitStruct("taskq rates", StructSize(), &found);
	rate_entries = ShmemInitHash_compat("taskq rates of limits", MAX_RATES, &ctl, HASH_ELEM | HASH_BLOBS);
	if (found)
		return;
	memset(rates, 0, StructSize());
	LWLockInitialize(&rates->lock, taskq_tranche);
	for (int i = 0; i < taskq_max_databases; i++)
		pg_atomic_init_u32(&rates->databases[i].wanted, 0);
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

RateKey
RateKeyOf(Oid relid, int32 limit_id, LimitValue value)
{
	return (RateKey){ MyDatabaseId, relid, limit_id, 0, value };
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
}

/* Return the entry of a limit, and make it if there is none.  Returns NULL if there is no room. */
RateEntry *
RatesMake(const RateKey *key)
{
	RateEntry *entry = RatesFind(key);

	if (entry != NULL || hash_get_num_entries(rate_entries) >= MAX_RATES)
		return entry;
	entry = hash_search(rate_entries, key, HASH_ENTER_NULL, NULL);
	if (entry == NULL)
		return NULL;
	RateInit(entry);
	return entry;
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

/* Have the scheduler reserve a portion.  Called without the lock. */
static void
AskForPortion(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (db == NULL)
		return;
	pg_atomic_write_u32(&rates->databases[db - taskq_databases].wanted, 1);
	ShmemWakeScheduler(db);
}

/* May a job of this weight start under a limit now?  *until is when it may. */
RatesAnswer
RateAsk(RateEntry *entry, const RateLimit *limit, int32 weight, int64 now, int64 *until)
{
	int64 by_rate = now;
	int64 by_quota = now;

	*until = RATES_NEVER;
	if ((limit->token > 0 && weight > limit->burst) || (limit->quota > 0 && weight > limit->quota))
		return RATES_TOO_HEAVY;
	if (entry == NULL && (!RateLimitReserves(limit) || hash_get_num_entries(rate_entries) >= MAX_RATES))
		return RATES_NO_MEMORY;
	if (entry == NULL || (RateLimitReserves(limit) && !entry->known))
		return RATES_UNKNOWN;
	RateCatchUp(entry, limit, now);
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

/* Note that a job waits for a limit.  Returns whether the scheduler must reserve a portion. */
static bool
NoteWaits(RateEntry *entry, int32 route_id, int32 weight, int64 now)
{
	RatesNoteHeldUp(entry, route_id);
	if (!RateReserves(entry))
	{
		RatesNoteRefused(&entry->key, weight);
		return false;
	}
	entry->wanted = Max(entry->wanted, weight);
	return now >= entry->retry_at;
}

/* Return the entry of a limit for a claim, or NULL.  The scheduler makes those of which something is stored. */
static RateEntry *
ToClaimBy(const RateKey *key, const RateLimit *limit)
{
	return RateLimitReserves(limit) ? RatesFind(key) : RatesMake(key);
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
		RateEntry		*entry = wait ? ToClaimBy(&key, limit) : RatesCopy(&key, limit, &copy);
		RatesAnswer		 answer = RateAsk(entry, limit, weight, now, &refusal->until);

		if (answer == RATES_ROOM)
			continue;
		refusal->limit_id = limit->limit_id;
		refusal->value = limit->value;
		if (wait && entry != NULL && (answer == RATES_RATE || answer == RATES_QUOTA))
			*reserve |= NoteWaits(entry, limits->route_id, weight, now);
		/* a claim that knows the limit as it was before may have made it unknown again */
		if (wait && answer == RATES_UNKNOWN)
			*reserve = true;
		if (wait && answer == RATES_UNKNOWN && entry != NULL)
			RatesNoteHeldUp(entry, limits->route_id);
		return answer;
	}
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
		AskForPortion();
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
	return RateIsLow(entry) && now >= entry->retry_at;
}

/* Pay for the start of a job, to all of its limits.  Returns false if it may not start now. */
bool
RatesTake(const RateLimits *limits, int32 weight, RatePaid *paid)
{
	int64		 now = ClockSteady();
	RatesRefusal refusal;
	bool		 reserve = false;
	bool		 may;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	may = Ask(limits, weight, now, &refusal, true, &reserve) == RATES_ROOM;
	memset(paid, 0, sizeof(*paid));
	paid->relid = limits->relid;
	paid->weight = weight;
	for (int i = 0; may && i < limits->n; i++)
	{
		const RateLimit *limit = &limits->limits[i];
		RateKey			 key = RateKeyOf(limits->relid, limit->limit_id, limit->value);

		reserve |= TakeOne(RatesFind(&key), weight, now, &paid->limits[paid->n].from_portion);
		paid->limits[paid->n].limit_id = limit->limit_id;
		paid->limits[paid->n++].value = limit->value;
	}
	LWLockRelease(&rates->lock);
	if (reserve)
		AskForPortion();
	return may;
}

/* Return the entry of a limit to which was paid, or NULL. */
static RateEntry *
PaidEntry(const RatePaid *paid, int i)
{
	RateKey key = RateKeyOf(paid->relid, paid->limits[i].limit_id, paid->limits[i].value);

	return RatesFind(&key);
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
	entry->retry_at = 0;
}

/*
 * The claim that has paid was undone before a handler was called.  This is called after an
 * abort, so it allocates no memory and cannot fail.
 */
void
RatesReturn(const RatePaid *paid)
{
	int64	 now = ClockSteady();
	RateWake wake = { 0 };
	bool	 reserve = false;

	LWLockAcquire(&rates->lock, LW_EXCLUSIVE);
	for (int i = 0; i < paid->n; i++)
	{
		RateEntry *entry = PaidEntry(paid, i);

		if (entry == NULL)
			continue;
		ReturnOne(entry, paid, paid->limits[i].from_portion, now);
		reserve |= entry->wanted > 0;
		RatesCollect(entry, &wake);
	}
	LWLockRelease(&rates->lock);
	if (reserve)
		AskForPortion();
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
