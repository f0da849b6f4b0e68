/*
 * limit_scope.h
 *	  The arguments of set_limit() that say for which jobs a limit is.
 */
#ifndef TASKQ_LIMIT_SCOPE_H
#define TASKQ_LIMIT_SCOPE_H

#include "taskq.h"

#include "fmgr.h"

#include "config/limit.h"

/* For which jobs a limit is.  NULL means all. */
typedef struct LimitScope
{
	const char *queue;
	const char *task_type;
	const char *tenant_id;
	uint8		for_each;
} LimitScope;

extern LimitScope	   LimitScopeArgs(FunctionCallInfo fcinfo, int queue, int task_type, int tenant_id, int for_each);
extern bool			   LimitHasScope(const TaskqLimit *limit, const LimitScope *scope);
extern struct varlena *LimitOverridesArg(FunctionCallInfo fcinfo, int n, const TaskqLimit *limit);
extern int			   LimitCheckOverrides(struct varlena *overrides, const TaskqLimit *limit);

#endif /* TASKQ_LIMIT_SCOPE_H */
