/*
 * error.h
 *	  taskq's own SQLSTATEs, and the error types of an attempt.
 */
#ifndef TASKQ_ERROR_H
#define TASKQ_ERROR_H

#include "taskq.h"

#define ERRCODE_TQ_ALREADY_REGISTERED MAKE_SQLSTATE('T', 'Q', '0', '0', '1')
#define ERRCODE_TQ_NOT_REGISTERED MAKE_SQLSTATE('T', 'Q', '0', '0', '2')
#define ERRCODE_TQ_STALE_LEASE MAKE_SQLSTATE('T', 'Q', '0', '0', '3')
#define ERRCODE_TQ_INVALID_TRANSITION MAKE_SQLSTATE('T', 'Q', '0', '0', '8')
#define ERRCODE_TQ_INVALID_PAYLOAD MAKE_SQLSTATE('T', 'Q', '0', '0', '9')
#define ERRCODE_TQ_LIMIT_EXCEEDED MAKE_SQLSTATE('T', 'Q', '0', '1', '0')
#define ERRCODE_TQ_JOB_NOT_FOUND MAKE_SQLSTATE('T', 'Q', '0', '1', '1')
#define ERRCODE_TQ_WORKER_NOT_REGISTERED MAKE_SQLSTATE('T', 'Q', '0', '1', '2')
#define ERRCODE_TQ_PERMANENT MAKE_SQLSTATE('T', 'Q', '0', '2', '0')
#define ERRCODE_TQ_RETRYABLE MAKE_SQLSTATE('T', 'Q', '0', '2', '1')
#define ERRCODE_TQ_WORKER_IS_ALIVE MAKE_SQLSTATE('T', 'Q', '0', '2', '2')

#define ERROR_PERMANENT "permanent_error"
#define ERROR_RETRYABLE "retryable_error"
#define ERROR_VALIDATION "validation_error"
#define ERROR_TIMEOUT "timeout"
#define ERROR_HANDLER "handler_error"
#define ERROR_WORKER_CRASH "worker_crash"
#define ERROR_TERMINATED "terminated"
#define ERROR_CANCELLED "cancelled"

extern bool		   IsStandardErrorType(const char *type);
extern bool		   IsRetryableErrorType(const char *type);
extern const char *ErrorTypeOfSqlstate(int sqlstate);

#endif /* TASKQ_ERROR_H */
