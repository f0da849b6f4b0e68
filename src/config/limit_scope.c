/*
 * limit_scope.c
 *	  The arguments of set_limit() that say for which jobs a limit is.
 */
#include "taskq.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "config/limit_scope.h"
#include "config/queue.h"

static bool
IsSame(const char *a, const char *b)
{
	return strcmp(a, b == NULL ? "" : b) == 0;
}

/* Read the arguments that say for which jobs a limit is. */
LimitScope
LimitScopeArgs(FunctionCallInfo fcinfo, int queue, int task_type, int tenant_id, int for_each)
{
	LimitScope scope = {
		.queue = ArgNameOrNull(fcinfo, queue, "queue"),
		.task_type = ArgNameOrNull(fcinfo, task_type, "task_type"),
		.tenant_id = ArgNameOrNull(fcinfo, tenant_id, "tenant_id"),
		.for_each = ArgKeys(fcinfo, for_each, "for_each", "a limit cannot be for each"),
	};

	if (scope.for_each == 0 && !PG_ARGISNULL(for_each))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("for_each is empty"),
				 errhint("The keys are tenant_id and group_key. For one limit for all jobs, leave it out.")));
	if (scope.queue != NULL)
		(void) QueueByName(scope.queue, false);
	if (scope.tenant_id != NULL && (scope.for_each & KEY_TENANT) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a limit for one tenant cannot be for each tenant"),
				 errhint("Leave out tenant_id, and give this tenant its own number with overrides.")));
	return scope;
}

/* Is a limit for these jobs? */
bool
LimitHasScope(const TaskqLimit *limit, const LimitScope *scope)
{
	return IsSame(limit->queue, scope->queue) && IsSame(limit->task_type, scope->task_type) &&
		   IsSame(limit->tenant_id, scope->tenant_id) && limit->for_each == scope->for_each;
}

/* Check other numbers for single values of the keys of a limit, whose keys and numbers are set.  Returns their number. */
int
LimitCheckOverrides(struct varlena *overrides, const TaskqLimit *limit)
{
	LimitOverride *read;
	int			   n;
	const char	  *problem;

	if (!OverridesRead(overrides, limit, &read, &n, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("overrides are not valid"),
				 errdetail_internal("%s.", problem),
				 errhint("Write {\"acme\": 10} for another concurrency of one value, {\"acme\": {\"rate\": 50, \"burst\": 5}} for other numbers, and {\"acme\": {\"order-1\": 2}} for a limit for each tenant_id and group_key.")));
	return n;
}

/* Read the argument with other numbers. */
struct varlena *
LimitOverridesArg(FunctionCallInfo fcinfo, int n, const TaskqLimit *limit)
{
	struct varlena *overrides = PG_ARGISNULL(n) ? NULL : (struct varlena *) PG_GETARG_JSONB_P(n);

	return overrides == NULL || LimitCheckOverrides(overrides, limit) == 0 ? NULL : overrides;
}
