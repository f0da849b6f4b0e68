/*
 * stored_rates.c
 *	  The table limit_starts: what has started under quotas and slow rates.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "config/limit.h"
#include "process/stored_rates.h"
#include "store/owner.h"

/* Set the parameters that say which row it is: $1 to $3. */
static void
SetKey(int32 limit_id, const char *value, Datum *values)
{
	JobKeys keys;

	LimitKeysIn(value, &keys);
	values[0] = Int32GetDatum(limit_id);
	values[1] = CStringGetTextDatum(keys.tenant_id);
	values[2] = CStringGetTextDatum(keys.group_key);
}

/* Read the column of a row of the query in StoredRateRead(). */
static int64
ColumnOf(HeapTuple row, int column)
{
	bool isnull;

	return DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, column, &isnull));
}

/* Read what is stored of a limit, and how long ago that was.  Returns false if there is nothing. */
bool
StoredRateRead(const RateLimit *limit, RateStored *stored, int64 *elapsed)
{
	Oid		   types[] = { INT4OID, TEXTOID, TEXTOID };
	Datum	   values[lengthof(types)];
	OwnerScope scope;
	HeapTuple  row;
	ArrayType *used;
	bool	   found;
	bool	   isnull;

	memset(stored, 0, sizeof(*stored));
	SetKey(limit->limit_id, limit->value, values);
	OwnerEnterSpi(&scope);
	found = OwnerExecute("SELECT tokens, reserved, part_length, stored_at, used FROM taskq.limit_starts"
						 " WHERE limit_id = $1 AND tenant_id = $2 AND group_key = $3",
						 lengthof(types), types, values, NULL) > 0;
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

/* Store the state of a limit, or of one value. */
void
StoredRateWrite(const RateLimit *limit, const RateStored *stored)
{
	Oid	  types[] = { INT4OID, TEXTOID, TEXTOID, INT8OID, INT8OID, INT8OID, INT4ARRAYOID, TIMESTAMPTZOID };
	Datum used[QUOTA_PARTS + 1];
	Datum values[lengthof(types)];

	for (int i = 0; i < lengthof(used); i++)
		used[i] = Int32GetDatum(stored->used[i]);
	SetKey(limit->limit_id, limit->value, values);
	values[3] = Int64GetDatum(stored->tokens);
	values[4] = Int64GetDatum(stored->reserved);
	values[5] = Int64GetDatum(stored->part_length);
	values[6] = PointerGetDatum(construct_array(used, lengthof(used), INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[7] = TimestampTzGetDatum(ClockNow());
	(void) OwnerRun("INSERT INTO taskq.limit_starts (limit_id, tenant_id, group_key, tokens, reserved, part_length, used, stored_at)"
					" VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (limit_id, tenant_id, group_key) DO UPDATE SET tokens = $4,"
					" reserved = $5, part_length = $6, used = $7, stored_at = $8",
					lengthof(types), types, values, NULL);
}

/* Delete what is stored of a value. */
void
StoredRateDelete(const RateValue *value)
{
	Oid	  types[] = { INT4OID, TEXTOID, TEXTOID };
	Datum values[lengthof(types)];

	SetKey(value->limit_id, value->value, values);
	(void) OwnerRun("DELETE FROM taskq.limit_starts WHERE limit_id = $1 AND tenant_id = $2 AND group_key = $3", lengthof(types), types, values, NULL);
}

/* Find up to "most" values of a limit whose last portion was stored before this moment.  Returns their number. */
int
StoredRatesOld(int32 limit_id, TimestampTz moment, RateValue *found, int most)
{
	Oid		   types[] = { INT4OID, TIMESTAMPTZOID, INT4OID };
	Datum	   values[] = { Int32GetDatum(limit_id), TimestampTzGetDatum(moment), Int32GetDatum(most) };
	OwnerScope scope;
	int		   n;

	OwnerEnterSpi(&scope);
	n = (int) OwnerExecute("SELECT tenant_id, group_key FROM taskq.limit_starts WHERE limit_id = $1 AND stored_at < $2 LIMIT $3",
						   lengthof(types), types, values, NULL);
	for (int i = 0; i < n; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];

		memset(&found[i], 0, sizeof(RateValue));
		found[i].limit_id = limit_id;
		strlcpy(found[i].value, SPI_getvalue(row, SPI_tuptable->tupdesc, 1), TASKQ_NAME_MAX + 1);
		strlcpy(found[i].value + TASKQ_NAME_MAX + 1, SPI_getvalue(row, SPI_tuptable->tupdesc, 2), TASKQ_NAME_MAX + 1);
	}
	OwnerLeaveSpi(&scope);
	return n;
}

/* Are there rows of values? */
bool
StoredRatesAny(void)
{
	OwnerScope scope;
	bool	   any;

	OwnerEnterSpi(&scope);
	any = OwnerExecute("SELECT FROM taskq.limit_starts WHERE tenant_id <> '' OR group_key <> '' LIMIT 1", 0, NULL, NULL, NULL) > 0;
	OwnerLeaveSpi(&scope);
	return any;
}
