/*
 * retry_function.h
 *	  Retry functions of users.
 */
#ifndef TASKQ_RETRY_FUNCTION_H
#define TASKQ_RETRY_FUNCTION_H

#include "taskq.h"

#include "config/resolve.h"
#include "job/attempt.h"
#include "job/job.h"

extern void		   RetryFunctionCheck(Oid function, Oid role);
extern const char *RetryFunctionRefusal(StoredName *stored);
extern void		   RetryFunctionAsk(const TaskqJob *job, const AttemptFailure *failure, bool *retryable, int64 *retry_in);

#endif /* TASKQ_RETRY_FUNCTION_H */
