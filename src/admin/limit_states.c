/*
 * limit_states.c
 *	  The state of each limit, for the views limits and limit_usage: limit_states() and
 *	  limit_values().
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/names.h"
#include "base/rows.h"
#include "base/signature.h"
#include "config/limit.h"
#include "job/tenants.h"
#include "shared/holders.h"
#include "shared/rates.h"
#include "store/catalog.h"

PG_FUNCTION_INFO_V1(taskq_limit_states);
PG_FUNCTION_INFO_V1(taskq_limit_values);

static const Oid state_columns[] = { INT4OID, TEXTOID, INT4OID, INT4ARRAYOID, INT8OID, INT8OID, TIMESTAMPTZOID };
static const Oid value_columns[] = { INT4OID, TEXTOID, TEXTOID, INT4OID, INT4OID, INT4OID, INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID };

/* Return the ids of the processes whose claims a new limit waits for, as an array. */
static Datum
AwaitedArray(void)
{
	int	  pids[MAX_AWAITED];
	int	  n = HoldersAwaited(pids);
	Datum elements[MAX_AWAITED];

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(pids[i]);
	return PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static const char *
StateName(const TaskqLimit *limit, const HeldState *held, const RateState *rate)
{
	bool holds = limit->numbers.concurrency >= 0;
	bool rates = LimitRates(limit);

	if (!HoldersPresent())
		return "needs_preload";
	if ((holds && held->answer == HOLDERS_NO_MEMORY) || (rates && rate->answer == RATES_NO_MEMORY))
		return "limit_memory";
	if ((holds && held->answer == HOLDERS_ARMING) || (rates && rate->answer == RATES_UNKNOWN))
		return "arming";
	return "active";
}

/* Set the columns of a rate and a quota. */
static void
PutRate(const TaskqLimit *limit, const RateState *state, Datum *values, bool *nulls)
{
	values[0] = Int64GetDatum(state->tokens);
	nulls[0] = limit->numbers.rate == 0 || state->tokens < 0;
	values[1] = Int64GetDatum(state->left);
	nulls[1] = limit->numbers.quota == 0 || state->left < 0;
	nulls[2] = !LimitRates(limit) || state->until == RATES_NEVER;
	values[2] = nulls[2] ? (Datum) 0 : TimestampTzGetDatum(ClockNow() + Max(state->until - ClockSteady(), 0));
}

Datum
taskq_limit_states(PG_FUNCTION_ARGS)
{
	ReturnSetInfo	  *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int				   n;
	const TaskqLimit **limits;

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(state_columns), state_columns);
	AcceptInvalidationMessages();
	limits = LimitsAll(&n);
	for (int i = 0; i < n; i++)
	{
		HeldState state = HoldersStateOf(CatalogRel(REL_LIMITS), limits[i]->limit_id);
		RateLimit limit;
		RateState rate;
		Datum	  values[lengthof(state_columns)];
		bool	  nulls[lengthof(state_columns)] = { false };

		LimitRate(limits[i], NULL, &limit);
		if (limits[i]->for_each == 0)
			rate = RatesStateOf(CatalogRel(REL_LIMITS), &limit);
		else
			rate = (RateState){ RatesCountValues(CatalogRel(REL_LIMITS), &limit), RATES_NEVER, -1, -1 };
		values[0] = Int32GetDatum(limits[i]->limit_id);
		values[1] = CStringGetTextDatum(StateName(limits[i], &state, &rate));
		values[2] = Int32GetDatum(state.in_use);
		nulls[2] = limits[i]->numbers.concurrency < 0;
		PutRate(limits[i], &rate, &values[4], &nulls[4]);
		nulls[3] = limits[i]->numbers.concurrency < 0 || state.answer != HOLDERS_ARMING;
		values[3] = nulls[3] ? (Datum) 0 : AwaitedArray();
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Does the caller see what a tenant's jobs hold?  "tenants" is NULL if the caller sees all. */
static bool
SeesValue(ArrayType *tenants, const char *tenant_id)
{
	return tenants == NULL || (tenant_id[0] != '\0' && NamesContain(tenants, tenant_id));
}

static int
CompareUses(const void *a, const void *b)
{
	return memcmp(((const HeldUse *) a)->value, ((const HeldUse *) b)->value, HELD_VALUE_SIZE);
}

/*
 * Find the values of a limit that running jobs hold, or of whose rates or quotas something
 * is remembered.  Returns their number.
 */
static int
ValuesOf(const TaskqLimit *limit, HeldUse **uses)
{
	RateValue *rates;
	HeldUse	  *all;
	int		   n_held = HoldersValuesOf(CatalogRel(REL_LIMITS), limit->limit_id, uses);
	int		   n_rates = RatesValuesOf(CatalogRel(REL_LIMITS), limit->limit_id, &rates);
	int		   n = n_held;

	qsort(*uses, n_held, sizeof(HeldUse), CompareUses);
	all = palloc_extended(sizeof(HeldUse) * (n_held + n_rates + 1), MCXT_ALLOC_HUGE);
	memcpy(all, *uses, sizeof(HeldUse) * n_held);
	for (int i = 0; i < n_rates; i++)
	{
		memcpy(all[n].value, rates[i].value, HELD_VALUE_SIZE);
		all[n].in_use = 0;
		if (bsearch(&all[n], *uses, n_held, sizeof(HeldUse), CompareUses) == NULL)
			n++;
	}
	pfree(*uses);
	pfree(rates);
	*uses = all;
	return n;
}

/* Put the values of one limit. */
static void
PutValues(ReturnSetInfo *result, const TaskqLimit *limit, ArrayType *tenants)
{
	HeldUse *uses;
	int		 n = ValuesOf(limit, &uses);

	for (int i = 0; i < n; i++)
	{
		JobKeys		 keys;
		LimitNumbers numbers;
		RateLimit	 rate;
		RateState	 state = { RATES_UNKNOWN, RATES_NEVER, -1, -1 };
		Datum		 values[lengthof(value_columns)];
		bool		 nulls[lengthof(value_columns)] = { false };

		LimitKeysIn(uses[i].value, &keys);
		if (!SeesValue(tenants, limit->tenant_id[0] != '\0' ? limit->tenant_id : keys.tenant_id))
			continue;
		numbers = LimitNumbersFor(limit, &keys);
		LimitRate(limit, &keys, &rate);
		if (LimitRates(limit))
			state = RatesStateOf(CatalogRel(REL_LIMITS), &rate);
		values[0] = Int32GetDatum(limit->limit_id);
		nulls[1] = keys.tenant_id[0] == '\0';
		values[1] = CStringGetTextDatum(keys.tenant_id);
		nulls[2] = keys.group_key[0] == '\0';
		values[2] = CStringGetTextDatum(keys.group_key);
		nulls[3] = nulls[4] = numbers.concurrency < 0;
		values[3] = Int32GetDatum(numbers.concurrency);
		values[4] = Int32GetDatum(uses[i].in_use);
		nulls[5] = numbers.rate == 0;
		values[5] = Int32GetDatum(numbers.rate);
		nulls[6] = numbers.quota == 0;
		values[6] = Int32GetDatum(numbers.quota);
		PutRate(limit, &state, &values[7], &nulls[7]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	pfree(uses);
}

Datum
taskq_limit_values(PG_FUNCTION_ARGS)
{
	ReturnSetInfo	  *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType		  *tenants;
	int				   n;
	const TaskqLimit **limits;

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(value_columns), value_columns);
	AcceptInvalidationMessages();
	tenants = TenantsSeen(false);
	limits = LimitsAll(&n);
	for (int i = 0; i < n; i++)
		if (limits[i]->for_each != 0)
			PutValues(result, limits[i], tenants);
	return (Datum) 0;
}
