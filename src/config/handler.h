/*
 * handler.h
 *	  Handlers in memory: which handler runs which task type.
 */
#ifndef TASKQ_HANDLER_H
#define TASKQ_HANDLER_H

#include "taskq.h"

#include "utils/array.h"
#include "utils/timestamp.h"

#include "config/contract.h"
#include "config/reason.h"
#include "config/resolve.h"
#include "config/retry.h"

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
	bool		   async_commit;
	int64		   lock_timeout; /* microseconds; NO_MICROSECONDS means the role's setting */
	TaskqContract *contract;	 /* NULL if payloads may be anything */
	TimestampTz	   registered_at;
	const char	  *status;	   /* "ok", or why the handler cannot run */
	ReasonCode	   cannot_run; /* the reason, or REASON_NONE */

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
extern bool					HandlerTypeIsLocked(const char *task_type, bool exclusive);
extern Oid					HandlerRole(const TaskqHandler *handler);
extern StoredName			HandlerRetryFunction(const TaskqHandler *handler);
extern RetryPolicy			HandlerRetryPolicy(const char *task_type);
extern char				   *HandlerTypesText(void);
extern int					HandlerUnknownTypes(ArrayType *task_types, char **list);

#endif /* TASKQ_HANDLER_H */
