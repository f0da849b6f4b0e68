/*
 * keep_rates.c
 *	  Reserving what quotas and slow rates let start.
 *
 * These limits outlive a restart.  If each start wrote a row, all claims would wait for
 * each other's commit.  So the scheduler reserves a portion: it stores that so much has
 * started, commits, and then lets claims use it (shared/rates_keep.c).  A limit has one row,
 * which is updated for each portion, so there are few versions of it.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "config/limit.h"
#include "process/keep_rates.h"
#include "shared/rates.h"
#include "store/catalog.h"
#include "store/owner.h"

/* A limit whose portions are reserved. */
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
} Round;

/* When is there a portion for which a claim waits?  By ClockSteady(), as the system's clock may be set meanwhile. */
static int64 portion_at = RATES_NEVER;

/* Due when limits have changed, when a claim waits for a portion, and when there is one again. */
TimestampTz
RatesDue(const WorkPast *past)
{
	if (!RatesPresent())
		return DT_NOEND;
	if (past->changed || RatesWanted(false))
		return DT_NOBEGIN;
	return portion_at == RATES_NEVER ? DT_NOEND : ClockNow() + Max(portion_at - ClockSteady(), 0);
}

/* Read the column of a row of the query in ReadStored(). */
static int64
ColumnOf(HeapTuple row, int column)
{
	bool isnull;

	return DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, column, &isnull));
}

/* Read what is stored of a limit, and how long ago that was.  Returns false if there is nothing. */
static bool
ReadStored(const RateLimit *limit, RateStored *stored, int64 *elapsed)
{
	Oid		   types[] = { INT4OID, INT8OID };
	Datum	   values[] = { Int32GetDatum(limit->limit_id), Int64GetDatum((int64) limit->value.hash) };
	OwnerScope scope;
	HeapTuple  row;
	ArrayType *used;
	bool	   found;
	bool	   isnull;

	memset(stored, 0, sizeof(*stored));
	OwnerEnterSpi(&scope);
	found = OwnerExecute("SELECT tokens, reserved, part_length, stored_at, used FROM taskq.limit_starts"
						 " WHERE limit_id = $1 AND value = $2",
						 2, types, values, NULL) > 0;
	if (found)
	{
		row = SPI_tuptable->vals[0];
		stored->tokens = ColumnOf(row, 1);
		stored->reserved = ColumnOf(row, 2);
		stored->part_length = ColumnOf(row, 3);
		*elapsed = Max(ClockNow() - (TimestampTz) ColumnOf(row, 4), 0);
		used = DatumGetArrayTypeP(SPI_getbinval(row, SPI_tuptable->tupdesc, 5, &isnull));
		if (ArrayGetNItems(ARR_NDIM(used), ARR_DIMS(used)) == lengthof(stored->used) && !array_contains_nulls(used))
			memcpy(stored->used, ARR_DATA_PTR(used), sizeof(stored->used));
	}
	OwnerLeaveSpi(&scope);
	return found;
}

static void
WriteStored(const RateStored *stored)
{
	Oid	  types[] = { INT4OID, INT8OID, INT8OID, INT8OID, INT8OID, INT4ARRAYOID, TIMESTAMPTZOID };
	Datum used[QUOTA_PARTS + 1];
	Datum values[lengthof(types)];

	for (int i = 0; i < lengthof(used); i++)
		used[i] = Int32GetDatum(stored->used[i]);
	values[0] = Int32GetDatum(stored->limit_id);
	values[1] = Int64GetDatum((int64) stored->value.hash);
	values[2] = Int64GetDatum(stored->tokens);
	values[3] = Int64GetDatum(stored->reserved);
	values[4] = Int64GetDatum(stored->part_length);
	values[5] = PointerGetDatum(construct_array(used, lengthof(used), INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[6] = TimestampTzGetDatum(ClockNow());
	(void) OwnerRun("INSERT INTO taskq.limit_starts (limit_id, value, tokens, reserved, part_length, used, stored_at)"
					" VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (limit_id, value) DO UPDATE SET tokens = $3,"
					" reserved = $4, part_length = $5, used = $6, stored_at = $7",
					lengthof(types), types, values, NULL);
}

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
	if (ReadStored(limit, &stored, &elapsed))
		RatesKnow(relid, limit, &stored, elapsed);
	else
		RatesKnow(relid, limit, NULL, 0);
}

/* Read the limits, and store what their next portions leave. */
static void
Reserve(void *arg)
{
	Round			  *round = arg;
	int				   n;
	const TaskqLimit **limits = LimitsAll(&n);

	round->relid = CatalogRel(REL_LIMITS);
	round->limits = palloc(sizeof(Reserved) * (n + 1));
	ForgetOthers(round->relid, limits, n);
	for (int i = 0; i < n; i++)
	{
		Reserved  *reserved = &round->limits[round->n];
		RateStored stored;
		int64	   retry_at;

		LimitRate(limits[i], &reserved->limit);
		if (!LimitRates(limits[i]))
			continue;
		if (!reserved->limit.lasting && reserved->limit.quota == 0)
		{
			RatesBegin(round->relid, &reserved->limit);
			continue;
		}
		Know(round->relid, &reserved->limit);
		reserved->portion = RatesPlan(round->relid, &reserved->limit, &stored, &retry_at);
		round->retry_at = Min(round->retry_at, retry_at);
		if (reserved->portion == 0)
			continue;
		WriteStored(&stored);
		round->n++;
	}
	/* what is reserved must not be lost, whatever the settings are */
	ForceSyncCommit();
}

/* Reserve portions, and when that is committed, let claims use them. */
void
KeepRates(WorkResult *result)
{
	Round round = { .retry_at = RATES_NEVER };

	(void) RatesWanted(true);
	portion_at = RATES_NEVER;
	if (!WorkInTransaction("reserve what limits let start", Reserve, &round))
	{
		result->next = ClockNow() + USECS_PER_SEC;
		return;
	}
	for (int i = 0; i < round.n; i++)
		RatesGrant(round.relid, &round.limits[i].limit, round.limits[i].portion);
	portion_at = round.retry_at;
}
