/*
 * limit_rate.c
 *	  The rates and quotas of limits, as shared memory wants them (shared/rates.c).
 */
#include "taskq.h"

#include "config/limit.h"
#include "store/catalog.h"
#include "utils/timestamp.h"

/* Return what is wrong with a rate, or NULL. */
const char *
LimitRateProblem(const LimitNumbers *numbers, int64 per)
{
	if (numbers->rate > per && numbers->rate > 0)
		return "A rate can be at most one start in a microsecond";
	if (numbers->rate > 0 && (double) numbers->burst * per / numbers->rate > (double) LONGEST_FILL)
		return "A rate must let its burst start within 100 years";
	return NULL;
}

/* Does a limit have a rate or a quota? */
bool
LimitRates(const TaskqLimit *limit)
{
	return limit->numbers.rate > 0 || limit->numbers.quota > 0;
}

/* Is a job with these keys, of a route of the limit, under it? */
bool
LimitHasJob(const TaskqLimit *limit, const JobKeys *keys)
{
	if ((limit->for_each & KEY_TENANT) != 0 && keys->tenant_id[0] == '\0')
		return false;
	if ((limit->for_each & KEY_GROUP) != 0 && keys->group_key[0] == '\0')
		return false;
	return limit->tenant_id[0] == '\0' || strcmp(limit->tenant_id, keys->tenant_id) == 0;
}

/* Write the value of a job's keys for which the limit is, padded with zeros: the tenant and then the group key. */
void
LimitValueOf(const TaskqLimit *limit, const JobKeys *keys, char *value)
{
	memset(value, 0, HELD_VALUE_SIZE);
	if (keys != NULL && (limit->for_each & KEY_TENANT) != 0)
		strlcpy(value, keys->tenant_id, TASKQ_NAME_MAX + 1);
	if (keys != NULL && (limit->for_each & KEY_GROUP) != 0)
		strlcpy(value + TASKQ_NAME_MAX + 1, keys->group_key, TASKQ_NAME_MAX + 1);
}

/* Read the keys of such a value. */
void
LimitKeysIn(const char *value, JobKeys *keys)
{
	memset(keys, 0, sizeof(*keys));
	strlcpy(keys->tenant_id, value, sizeof(keys->tenant_id));
	strlcpy(keys->group_key, value + TASKQ_NAME_MAX + 1, sizeof(keys->group_key));
}

/* Describe such a value, to be put after the name of its limit. */
const char *
LimitForValue(const char *value)
{
	JobKeys keys;

	LimitKeysIn(value, &keys);
	if (keys.tenant_id[0] == '\0' && keys.group_key[0] == '\0')
		return "";
	if (keys.group_key[0] == '\0')
		return psprintf(" for tenant \"%s\"", keys.tenant_id);
	if (keys.tenant_id[0] == '\0')
		return psprintf(" for group \"%s\"", keys.group_key);
	return psprintf(" for tenant \"%s\" and group \"%s\"", keys.tenant_id, keys.group_key);
}

/* Return the nanoseconds between two starts, rounded up. */
static int64
TokenOf(int32 rate, int64 per)
{
	return (per * 1000 + rate - 1) / rate;
}

/* Write the rate and the quota of a limit for jobs with these keys, or with NULL those of the limit itself. */
void
LimitRate(const TaskqLimit *limit, const JobKeys *keys, RateLimit *rate)
{
	LimitNumbers numbers = LimitNumbersFor(limit, keys);

	memset(rate, 0, sizeof(*rate));
	rate->limit_id = limit->limit_id;
	rate->by_key = limit->for_each != 0 || limit->tenant_id[0] != '\0';
	LimitValueOf(limit, keys, rate->value);
	if (numbers.rate > 0)
	{
		rate->token = TokenOf(numbers.rate, limit->per);
		rate->burst = numbers.burst;
		rate->lasting = limit->per > USECS_PER_MINUTE;
	}
	if (numbers.quota > 0)
	{
		rate->quota = numbers.quota;
		rate->part_length = (limit->quota_window + QUOTA_PARTS - 1) / QUOTA_PARTS;
	}
}

/* Return the greatest weight of a job with these keys that may start under a limit. */
int32
LimitHeaviest(const TaskqLimit *limit, const JobKeys *keys)
{
	LimitNumbers numbers = LimitNumbersFor(limit, keys);
	int32		 heaviest = PG_INT32_MAX;

	if (!LimitHasJob(limit, keys))
		return heaviest;
	if (numbers.rate > 0)
		heaviest = Min(heaviest, numbers.burst);
	if (numbers.quota > 0)
		heaviest = Min(heaviest, numbers.quota);
	return heaviest;
}

/*
 * Write the rates and quotas of a job.  Without keys, only those that are for all jobs of the
 * route alike.  Returns false if there are none.
 */
bool
LimitsToPay(int32 route_id, const JobKeys *keys, RateLimits *pay)
{
	const RouteLimits *limits = LimitsOfRoute(route_id);
	int				   n = keys == NULL ? limits->n_plain : limits->n;

	pay->n = 0;
	for (int i = 0; i < n; i++)
		if (LimitRates(limits->limits[i]) && (i < limits->n_plain || LimitHasJob(limits->limits[i], keys)))
			LimitRate(limits->limits[i], keys, &pay->limits[pay->n++]);
	Assert(pay->n <= MAX_PAID);
	if (pay->n == 0)
		return false;
	pay->relid = CatalogRel(REL_LIMITS);
	pay->route_id = route_id;
	return true;
}

/* After how many microseconds without a start is nothing to be remembered of a value? */
int64
LimitMemorySpan(const TaskqLimit *limit)
{
	int64 span = 0;

	for (int i = -1; i < limit->n_overrides; i++)
	{
		const LimitNumbers *numbers = i < 0 ? &limit->numbers : &limit->overrides[i].numbers;

		if (numbers->rate > 0)
			span = Max(span, TokenOf(numbers->rate, limit->per) / 1000 * (numbers->burst + 1) + numbers->burst);
		if (numbers->quota > 0)
			span = Max(span, limit->quota_window + 2 * ((limit->quota_window + QUOTA_PARTS - 1) / QUOTA_PARTS));
	}
	return span;
}
