/*
 * rates_count.c
 *	  The arithmetic of rates and quotas.
 *
 * Rate.  A bucket holds up to "burst" tokens, and gets one each "token" nanoseconds.  A
 * start takes as many as the job weighs.  So in any time w at most burst + w / token start.
 * A start takes its tokens before it has a time.  If the bucket filled up in between, the
 * starts of the time after it could be more than that.  So what is in hand counts against
 * the burst, as if it were still in the bucket.
 *
 * Quota.  The weights of starts are counted by parts of the window.  The newest part has not
 * ended, so as many parts as the window has and one more are kept, and their sum is at most
 * the quota.  What is in hand counts, too, and comes into the part in which it starts.
 *
 * The caller holds the lock.  Moments are those of ClockSteady(), in microseconds.
 */
#include "taskq.h"

#include "shared/rates_int.h"

/* Does the scheduler reserve what a limit lets start? */
bool
RateLimitReserves(const RateLimit *limit)
{
	return limit->lasting || limit->quota > 0;
}

/* The same of an entry that is caught up. */
bool
RateReserves(const RateEntry *entry)
{
	return entry->lasting || entry->quota > 0;
}

/* What is in the bucket and what is taken ahead are together at most the burst. */
void
RateCap(RateEntry *entry)
{
	int64 ahead = entry->in_hand + (entry->lasting ? entry->portion : 0);

	entry->level = Min(entry->level, Max(entry->burst - ahead, 0) * entry->token);
}

/* Count all that has started as started now, because the parts have another length. */
static void
ChangeParts(RateEntry *entry, int64 length, int64 now)
{
	int64 used = entry->part_length == 0 ? 0 : RateUsed(entry);

	memset(entry->used, 0, sizeof(entry->used));
	entry->part_length = length;
	if (length == 0)
		return;
	entry->part = now / length;
	entry->used[entry->part % PARTS_KEPT] = Min(used, PG_INT32_MAX);
}

/* Bring an entry up to this moment: fill the bucket, and begin the parts that have begun by now. */
void
RateAdvance(RateEntry *entry, int64 now)
{
	int64 elapsed = Max(now - entry->filled_at, 0);
	int64 part = entry->part_length == 0 ? 0 : now / entry->part_length;

	for (int64 i = Max(entry->part + 1, part - QUOTA_PARTS); entry->part_length > 0 && i <= part; i++)
		entry->used[i % PARTS_KEPT] = 0;
	entry->part = Max(entry->part, part);
	entry->level += Min(elapsed, PG_INT64_MAX / 4000) * 1000;
	entry->filled_at = Max(entry->filled_at, now);
	RateCap(entry);
}

/* What is left of a portion may be more than a lowered limit allows. */
void
RateCapPortion(RateEntry *entry)
{
	if (entry->lasting)
		entry->portion = Min(entry->portion, Max(entry->burst - entry->in_hand, 0));
	if (entry->quota > 0)
		entry->portion = Min(entry->portion, Max(entry->quota - RateUsed(entry) - entry->in_hand, 0));
	if (!RateReserves(entry))
		entry->portion = 0;
}

/* Bring an entry to what the limit is now. */
static void
Change(RateEntry *entry, const RateLimit *limit, int64 now)
{
	if (entry->token != limit->token)
	{
		entry->level = entry->token == 0 ? 0 : (int64) ((double) entry->level / entry->token * limit->token);
		entry->filled_at = Max(entry->filled_at, now);
	}
	entry->token = limit->token;
	entry->burst = limit->burst;
	entry->lasting = limit->lasting;
	entry->quota = limit->quota;
	if (entry->part_length != limit->part_length)
		ChangeParts(entry, limit->part_length, now);
	RateCapPortion(entry);
	entry->known &= RateReserves(entry);
	entry->is_new &= RateReserves(entry);
}

/* Bring an entry up to this moment, and to what the limit is now. */
void
RateCatchUp(RateEntry *entry, const RateLimit *limit, int64 now)
{
	if (entry->token != limit->token || entry->burst != limit->burst || entry->lasting != limit->lasting ||
		entry->quota != limit->quota || entry->part_length != limit->part_length)
		Change(entry, limit, now);
	RateAdvance(entry, now);
}

/*
 * How much of the tokens of a start that was undone is lost, at most "most"?  If the start had
 * never been, the bucket would have been fuller since, and might have been full.  So the
 * start loses what came in since, as if that had not gone in.  What one start has
 * lost is not lost for another one.
 */
int64
RateLoss(RateEntry *entry, int64 since, int64 now, int64 most)
{
	int64 counted = Max(Min(entry->lost_to, now) - Max(entry->lost_from, since), 0);
	int64 loss = Min(Max(now - since - counted, 0), (most + 999) / 1000);

	if (since < entry->lost_from || since > entry->lost_to)
		entry->lost_from = entry->lost_to = since;
	entry->lost_to += loss;
	return Min(loss * 1000, most);
}

/* Return what has started in the window. */
int64
RateUsed(const RateEntry *entry)
{
	int64 used = 0;

	for (int i = 0; i < PARTS_KEPT; i++)
		used += entry->used[i];
	return used;
}

/* When are there so many tokens?  The entry is caught up. */
int64
RateTokensAt(const RateEntry *entry, int64 weight, int64 now)
{
	int64 lack = weight * entry->token - entry->level;

	return lack <= 0 ? now : now + (lack + 999) / 1000;
}

/* When does the quota let so many start?  The entry is caught up. */
int64
RateQuotaAt(const RateEntry *entry, int64 weight, int64 now)
{
	int64 room = entry->quota - RateUsed(entry) - entry->in_hand - entry->portion;

	if (room >= weight)
		return now;
	for (int64 part = Max(entry->part - QUOTA_PARTS, 0); part < entry->part; part++)
	{
		room += entry->used[part % PARTS_KEPT];
		if (room >= weight)
			return (part + PARTS_KEPT) * entry->part_length;
	}
	return (entry->part + PARTS_KEPT) * entry->part_length;
}
