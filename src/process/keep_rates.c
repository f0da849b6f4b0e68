/*
 * keep_rates.c
 *	  Reserving what quotas and slow rates let start.
 *
 * These limits outlive a restart.  If each start wrote a row, all claims would wait for
 * each other's commit.  So the scheduler reserves a portion: it stores that so much has
 * started, commits, and then lets claims use it (shared/rates_keep.c).  A limit has one row,
 * or one for each value of its keys, which is updated for each portion, so there are few
 * versions of it.
 *
 * What is stored of a value is read when a job with the value is to start.  Now and then those
 * values are forgotten of which nothing is to be remembered (shared/rates_value.c): first in
 * memory, and then in the table, so that no start of theirs can be lost.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "config/limit.h"
#include "process/keep_rates.h"
#include "process/stored_rates.h"
#include "ready/key_lane.h"
#include "shared/rates.h"
#include "store/catalog.h"
#include "store/owner.h"

#define MAX_RESERVED 500   /* values in one transaction */
#define MAX_FORGOTTEN 1000 /* in one transaction */
#define SWEEP_EVERY USECS_PER_MINUTE
#define SWEEP_WHEN_SHORT USECS_PER_SEC

/* A limit, or one value, whose portions are reserved. */
typedef struct Reserved
{
	RateLimit limit;
	int64	  portion;
} Reserved;

/* One round. */
typedef struct Round
{
	Oid		  relid;
	int		  n;
	Reserved *limits;
	int64	  retry_at; /* by ClockSteady() */
	int		  n_values;
	RateValue values[MAX_RESERVED];
} Round;

/* Values that were removed from memory, and may be stored. */
typedef struct Forgotten
{
	int		  n;
	bool	  more; /* there may be others */
	RateValue values[MAX_FORGOTTEN];
} Forgotten;

/* When is there a portion for which a claim waits?  By ClockSteady(), as the system's clock may be set meanwhile. */
static int64 portion_at = RATES_NEVER;

static Oid	 limits_relid;		/* of the table of limits */
static int64 swept_at = 0;		/* the last sweep, by ClockSteady() */
static bool	 any_stored = true; /* something may be stored of values that are not in memory */

/* When are values to be forgotten? */
static int64
SweepAt(void)
{
	if (RatesShort())
		return swept_at + SWEEP_WHEN_SHORT;
	return RatesAnyValues() || any_stored ? swept_at + SWEEP_EVERY : RATES_NEVER;
}

/* Due when limits have changed, when a claim waits for a portion, when there is one again, and for sweeps. */
TimestampTz
RatesDue(const WorkPast *past)
{
	int64 next;

	if (!RatesPresent())
		return DT_NOEND;
	if (past->changed || RatesWanted(false))
		return DT_NOBEGIN;
	next = Min(portion_at, SweepAt());
	return next == RATES_NEVER ? DT_NOEND : ClockNow() + Max(next - ClockSteady(), 0);
}

/* reserving -------------------------------------------------------------------- */

/* Forget the limits that do not exist any more, in memory and in the table. */
static void
ForgetOthers(Oid relid, const TaskqLimit *const *limits, int n)
{
	int32 *ids = palloc(sizeof(int32) * (n + 1));
	int	   n_ids = 0;

	for (int i = 0; i < n; i++)
		if (LimitRates(limits[i]))
			ids[n_ids++] = limits[i]->limit_id;
	RatesKeepOnly(relid, ids, n_ids);
	pfree(ids);
	(void) OwnerRun("DELETE FROM taskq.limit_starts s WHERE NOT EXISTS (SELECT FROM taskq.limit_defs l"
					" WHERE l.limit_id = s.limit_id AND (l.rate IS NOT NULL OR l.quota IS NOT NULL))",
					0, NULL, NULL, NULL);
}

/* Read what was stored of a limit that this server does not know yet. */
static void
Know(Oid relid, const RateLimit *limit)
{
	RateStored stored;
	int64	   elapsed = 0;

	if (RatesIsKnown(relid, limit))
		return;
	if (StoredRateRead(limit, &stored, &elapsed))
		RatesKnow(relid, limit, &stored, elapsed);
	else
		RatesKnow(relid, limit, NULL, 0);
}

/* Store what the next portion of a limit, or of one value, leaves.  It may be 0 if it has no portions. */
static void
ReserveOne(Round *round, const RateLimit *limit)
{
	Reserved  *reserved = &round->limits[round->n];
	RateStored stored;
	int64	   retry_at;

	if (!limit->lasting && limit->quota == 0)
		return;
	reserved->limit = *limit;
	Know(round->relid, limit);
	reserved->portion = RatesPlan(round->relid, limit, &stored, &retry_at);
	round->retry_at = Min(round->retry_at, retry_at);
	if (reserved->portion == 0)
		return;
	StoredRateWrite(limit, &stored);
	round->n++;
}

/* Reserve portions for the values that need one. */
static void
ReserveValues(Round *round, const TaskqLimit *const *limits, int n)
{
	for (int i = 0; i < round->n_values; i++)
	{
		const RateValue *value = &round->values[i];
		RateLimit		 limit;
		JobKeys			 keys;

		LimitKeysIn(value->value, &keys);
		for (int j = 0; j < n; j++)
		{
			if (limits[j]->limit_id != value->limit_id || limits[j]->for_each == 0)
				continue;
			LimitRate(limits[j], &keys, &limit);
			ReserveOne(round, &limit);
		}
	}
}

/* Read the limits, and store what their next portions leave. */
static void
Reserve(void *arg)
{
	Round			  *round = arg;
	int				   n;
	const TaskqLimit **limits = LimitsAll(&n);

	round->limits = palloc(sizeof(Reserved) * (n + MAX_RESERVED + 1));
	round->relid = limits_relid = CatalogRel(REL_LIMITS);
	ForgetOthers(round->relid, limits, n);
	for (int i = 0; i < n; i++)
	{
		RateLimit limit;

		if (!LimitRates(limits[i]))
			continue;
		LimitRate(limits[i], NULL, &limit);
		if (limits[i]->for_each != 0 || (!limit.lasting && limit.quota == 0))
			RatesBegin(round->relid, &limit, limits[i]->for_each != 0);
		else
			ReserveOne(round, &limit);
	}
	round->n_values = RatesWanting(round->relid, round->values, MAX_RESERVED);
	ReserveValues(round, limits, n);
	/* what is reserved must not be lost, whatever the settings are */
	ForceSyncCommit();
}

/* Let claims use a portion that was stored. */
static void
Grant(Oid relid, const Reserved *reserved)
{
	HeldValue value = { relid, reserved->limit.limit_id, HELD_RATE };

	RatesGrant(relid, &reserved->limit, reserved->portion);
	memcpy(value.value, reserved->limit.value, HELD_VALUE_SIZE);
	if (reserved->limit.by_key)
		KeyLanesFreed(&value, (int) Min(reserved->portion, PG_INT16_MAX));
}

/* forgetting ------------------------------------------------------------------- */

/*
 * Forget values that were removed from memory, and those that this server has not used and
 * whose portions are so old that nothing is to be remembered of them.
 */
static void
Forget(void *arg)
{
	const Forgotten	  *forgotten = arg;
	int				   n;
	const TaskqLimit **limits = LimitsAll(&n);
	RateValue		  *old = palloc(sizeof(RateValue) * MAX_FORGOTTEN);

	for (int i = 0; i < forgotten->n; i++)
		StoredRateDelete(&forgotten->values[i]);
	for (int i = 0; i < n; i++)
	{
		int n_old = 0;

		if (limits[i]->for_each != 0 && LimitRates(limits[i]))
			n_old = StoredRatesOld(limits[i]->limit_id, ClockNow() - LimitMemorySpan(limits[i]), old, MAX_FORGOTTEN);
		for (int j = 0; j < n_old; j++)
			if (!RatesHaveValue(CatalogRel(REL_LIMITS), &old[j]))
				StoredRateDelete(&old[j]);
	}
	pfree(old);
	any_stored = StoredRatesAny();
}

/* Forget values of which nothing is to be remembered, and let jobs start that wait for their memory. */
static void
Sweep(void)
{
	Forgotten *forgotten = palloc(sizeof(Forgotten));
	HeldValue  memory = { limits_relid, 0, HELD_MEMORY, "*" };

	forgotten->n = RatesSweep(forgotten->values, MAX_FORGOTTEN, &forgotten->more);
	swept_at = forgotten->more ? 0 : ClockSteady();
	if (any_stored || forgotten->n > 0)
		(void) WorkInTransaction("forget what has started under limits", Forget, forgotten);
	/* also if nobody was seen to wait: a claim may have begun to just after that was noted */
	if (RatesHaveRoom())
		KeyLanesFreed(&memory, 1);
	pfree(forgotten);
}

/* Reserve portions, and when that is committed, let claims use them.  Returns false if that has failed. */
static bool
ReserveAndGrant(void)
{
	Round *round = palloc0(sizeof(Round));
	bool   done;

	portion_at = round->retry_at = RATES_NEVER;
	done = WorkInTransaction("reserve what limits let start", Reserve, round);
	for (int i = 0; i < round->n_values && !done; i++)
		RatesWantAgain(round->relid, &round->values[i]);
	for (int i = 0; i < round->n && done; i++)
	{
		Grant(round->relid, &round->limits[i]);
		any_stored |= round->limits[i].limit.by_key;
	}
	portion_at = Min(round->retry_at, RatesNextWanting());
	pfree(round);
	return done;
}

/* Do what is due: reserve portions, and forget values. */
void
KeepRates(WorkResult *result)
{
	static uint64 version = 0; /* LimitsVersion() of the last round, plus 1 */
	bool		  has_changed = version != LimitsVersion() + 1;
	bool		  wanted = RatesWanted(true);

	if (has_changed)
		RatesRetryAll();
	version = LimitsVersion() + 1;
	if ((has_changed || wanted || portion_at <= ClockSteady()) && !ReserveAndGrant())
	{
		version = 0;
		result->next = ClockNow() + USECS_PER_SEC;
		return;
	}
	if (SweepAt() <= ClockSteady())
		Sweep();
}
