/*
 * handler.h
 *	  The registry: which handler runs which task type.
 */
#ifndef TASKQ_HANDLER_H
#define TASKQ_HANDLER_H

#include "taskq.h"

#include "utils/array.h"
#include "utils/timestamp.h"

#include "config/contract.h"
#include "config/resolve.h"
#include "config/retry.h"

/* Columns of taskq.handlers, in order. */
enum
{
	H_TASK_TYPE = 1,
	H_SIGNATURE,
	H_FUNCTION_OID,
	H_TAKES_JOB,
	H_RUN_AS,
	H_SEARCH_PATH,
	H_DESCRIPTION,
	H_VERSION,
	H_ALSO_EXTERNAL,
	H_QUEUE,
	H_PRIORITY,
	H_MAX_ATTEMPTS,
	H_TIMEOUT,
	H_LEASE,
	H_RETRY_POLICY,
	H_RETRY_BASE,
	H_RETRY_CAP,
	H_REGISTERED_BY,
	H_REGISTERED_AT,
	H_PERMANENT_ERRORS,
	H_RETRYABLE_ERRORS,
	H_PAUSED,
	H_SHARE_COMMIT,
	H_PAYLOAD_TYPE,
	H_PAYLOAD_TYPE_OID,
	H_REQUIRED_FIELDS,
	H_OPTIONAL_FIELDS,
	H_VALIDATOR,
	H_VALIDATOR_OID,
	H_LOCK_TIMEOUT,
	H_RETRY_FUNCTION,
	H_RETRY_FUNCTION_OID,
	H_STEPWISE,
	H_FUNCTION_OWNER,
	H_PAYLOAD_TYPE_OWNER,
	H_VALIDATOR_OWNER,
	H_RETRY_FUNCTION_OWNER,
	H_PAUSED_BECAUSE,
	H_PAUSED_FUNCTION,
	H_TRIAL_AT,
	H_TRIALS,
	H_ON_TRIAL
};
#define H_COLUMNS H_RETRY_FUNCTION_OWNER /* number of columns that register_handler() writes */

/* The form of a handler's function. */
typedef struct HandlerForm
{
	bool takes_job; /* f(taskq.job), not f(jsonb) */
	bool stepwise;	/* a procedure, which may commit */
} HandlerForm;

/* A pause as it is stored in the row. */
typedef struct HandlerPause
{
	bool		paused;
	char	   *because;
	char	   *function_mark; /* the pause is over if the function has another mark */
	TimestampTz trial_at;
	bool		on_trial;
} HandlerPause;

typedef struct TaskqHandler
{
	char		   task_type[TASKQ_NAME_MAX + 1]; /* the key */
	char		  *signature;					  /* NULL if external workers run the type */
	Oid			   function;					  /* InvalidOid while unresolved */
	Oid			   function_recorded;			  /* the OID that is stored in the row */
	Oid			   function_owner;				  /* at registration */
	bool		   owner_changed;				  /* the signature names a function of another owner */
	HandlerForm	   form;
	Oid			   run_as;
	Oid			   registered_by;
	char		  *search_path;
	char		  *description;
	char		  *version;
	bool		   also_external;
	char		  *queue;
	int32		   priority;
	bool		   has_priority;
	int32		   max_attempts; /* 0 means default */
	int64		   timeout;		 /* microseconds; NO_MICROSECONDS means default */
	int64		   lease;
	RetryPolicy	   retry;
	char		  *retry_function;		 /* signature, or NULL */
	Oid			   retry_function_oid;	 /* the cached OID */
	Oid			   retry_function_owner; /* at registration */
	ArrayType	  *permanent_errors;	 /* SQLSTATEs or their classes */
	ArrayType	  *retryable_errors;
	bool		   paused;
	char		  *paused_because; /* NULL if an operator has paused the type, or if it is not paused */
	bool		   pause_is_over;  /* the function has changed, but the row still says that the type is paused */
	TimestampTz	   trial_at;	   /* when the type is put on trial, or 0 */
	bool		   on_trial;	   /* only one job may run at a time */
	bool		   share_commit;
	int64		   lock_timeout; /* microseconds; NO_MICROSECONDS means the role's setting */
	TaskqContract *contract;	 /* NULL if payloads may be anything */
	TimestampTz	   registered_at;
	const char	  *status; /* "ok", or why the handler cannot run */

	/* contents of the row, for a later judgement */
	char		*stored_signature;
	HandlerPause pause;
	uint64		 judged; /* ConfigJudgementVersion() at the judgement, or 0 if there was none yet */
} TaskqHandler;

/* Handlers do not change until the transaction ends; see config/cache.h. */
extern const TaskqHandler  *HandlerFind(const char *task_type);
extern const TaskqHandler **HandlersSorted(int *n);
extern const TaskqHandler **HandlersPaused(int *n);
extern const char		   *HandlerMisfit(Oid function, HandlerForm *form);
extern bool					HandlerFunctionFits(Oid function, HandlerForm form);
TASKQ_NORETURN extern void	HandlerRefuseUnregistered(const char *task_type);
extern const char		   *HandlerErrorType(const char *task_type, int sqlstate);
extern bool					HandlerDeclaresError(const char *task_type, int sqlstate);
extern bool					HandlerLockType(const char *task_type, bool exclusive, bool wait);
extern void					HandlerUnlockType(const char *task_type);
extern Oid					HandlerRole(const TaskqHandler *handler);
extern StoredName			HandlerRetryFunction(const TaskqHandler *handler);
extern RetryPolicy			HandlerRetryPolicy(const char *task_type);
extern char				   *HandlerTypesText(void);
extern char				   *HandlerUnknownTypes(char **types, int n, int *unknown);

#endif /* TASKQ_HANDLER_H */
