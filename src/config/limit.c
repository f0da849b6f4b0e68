/*
 * limit.c
 *	  Limits: bounds on how many jobs may run at the same time, and start.
 */
#include "taskq.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "config/cache.h"
#include "config/limit.h"
#include "config/queue.h"
#include "config/route.h"
#include "config/stale.h"
#include "store/row.h"

static void
CopyName(char *copy, const char *name)
{
	if (name != NULL)
		strlcpy(copy, name, TASKQ_NAME_MAX + 1);
}

static void *
ReadLimit(TupleTableSlot *slot)
{
	TaskqLimit	   read = { 0 };
	TaskqLimit	  *limit;
	LimitRow	   row;
	LimitOverride *overrides;
	int			   n;
	const char	  *problem;

	RowReadLimit(&row, slot);
	read.limit_id = row.limit_id;
	read.for_each = LimitKeysOf(row.for_each);
	read.numbers = (LimitNumbers){ row.concurrency, row.rate, row.burst, row.quota };
	read.per = row.per;
	read.quota_window = row.quota_window;

	/* set_limit() has checked them; what somebody has written by hand is left out if it is wrong */
	if (!OverridesRead(row.overrides, &read, &overrides, &n, &problem))
		n = 0;
	if (row.tenant_id != NULL)
		read.for_each &= ~KEY_TENANT;
	CopyName(read.name, row.name);
	CopyName(read.queue, row.queue);
	CopyName(read.task_type, row.task_type);
	CopyName(read.tenant_id, row.tenant_id);
	limit = palloc0(LIMIT_SIZE(n));
	memcpy(limit, &read, offsetof(TaskqLimit, overrides)); /* an assignment would copy padding behind that, too */
	limit->n_overrides = n;
	if (n > 0)
		memcpy(limit->overrides, overrides, sizeof(LimitOverride) * n);
	return limit;
}

static void
LimitNameOf(const void *value, void *key)
{
	strlcpy(key, ((const TaskqLimit *) value)->name, TASKQ_NAME_MAX + 1);
}

static ConfigCache limits = {
	.rel = REL_LIMITS,
	.name = "taskq limits",
	.by_number = true,
	.read = ReadLimit,
	.second_size = TASKQ_NAME_MAX + 1,
	.second_key = LimitNameOf,
};

const TaskqLimit *
LimitByName(const char *name, bool missing_ok)
{
	char			  key[TASKQ_NAME_MAX + 1] = { 0 };
	const TaskqLimit *limit;

	strlcpy(key, name, sizeof(key));
	limit = ConfigFindSecond(&limits, key);
	if (limit == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("limit \"%s\" does not exist", name),
				 errhint("Make it with taskq.set_limit(), or see taskq.limits.")));
	return limit;
}

/* Return all limits, in an array that belongs to the caller. */
const TaskqLimit **
LimitsAll(int *n)
{
	return (const TaskqLimit **) ConfigAll(&limits, n);
}

/* Return a number that changes when a limit does, or a queue, which may be ordered. */
uint64
LimitsVersion(void)
{
	return ConfigTableVersion(REL_LIMITS) + ConfigTableVersion(REL_QUEUES);
}
