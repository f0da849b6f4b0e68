/*
 * handler.h
 *	  The registry: which handler runs which task type.
 */
#ifndef TASKQ_HANDLER_H
#define TASKQ_HANDLER_H

#include "taskq.h"

#include "utils/array.h"
#include "utils/timestamp.h"

#include "retry.h"

typedef struct TaskqHandler
{
	char		task_type[TASKQ_NAME_MAX + 1];	/* hash key */
	char	   *signature;		/* NULL: external workers run it */
	Oid			function;		/* InvalidOid while unresolved */
	bool		takes_job;		/* f(taskq.job) rather than f(jsonb) */
	Oid			run_as;
	Oid			registered_by;
	char	   *search_path;
	char	   *description;
	char	   *version;
	bool		also_external;
	char	   *queue;
	int32		priority;
	bool		has_priority;
	int32		max_attempts;	/* 0: default */
	int64		timeout;		/* microseconds; NO_MICROSECONDS: default */
	int64		lease;
	RetryPolicy retry;
	ArrayType  *permanent_errors;	/* SQLSTATEs or their classes */
	ArrayType  *retryable_errors;
	bool		paused;
	TimestampTz registered_at;
	const char *status;			/* "ok", or why it cannot run */
} TaskqHandler;

/* Valid until the next look-up of a handler. */
extern const TaskqHandler *HandlerFind(const char *task_type);
extern void HandlerPause(const char *task_type);
extern const char *HandlerErrorType(const char *task_type, int sqlstate);
extern bool HandlerCheckFunction(Oid function, Oid run_as);
extern bool HandlerLockType(const char *task_type, bool exclusive, bool wait);
extern void HandlerUnlockType(const char *task_type);
extern RetryPolicy HandlerRetryPolicy(const char *task_type);
extern char *HandlerTypesText(void);

#endif							/* TASKQ_HANDLER_H */
