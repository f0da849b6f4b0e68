/*
 * reason.h
 *	  The reasons why a job waits, or has ended without completing.  No other file
 *	  makes up a code.
 *
 * A code is stable: programs compare it.  The text beside it is for people, and may
 * change.  doc/taskq.md, "Reason codes", says what each code means and what to do.
 */
#ifndef TASKQ_REASON_H
#define TASKQ_REASON_H

#include "taskq.h"

/*
 * X(symbol, code, text).  The code that finds a reason may show another text, which names the
 * handler's status or the limit, for example.
 */
#define REASONS(X)                                                                                                                   \
	/* no worker is given the jobs of the route */                                                                                   \
	X(NO_HANDLER, "no_handler", "no handler registered")                                                                             \
	X(HANDLER_TOO_OLD, "handler_too_old", "handler version is older than min_version")                                               \
	X(HANDLER_UNRESOLVED, "handler_unresolved", "handler unresolved")                                                                \
	X(HANDLER_UNRUNNABLE, "handler_unrunnable", "handler unrunnable")                                                                \
	X(HANDLER_PAUSED, "handler_paused", "handler paused, see taskq.resume_handler()")                                                \
	X(QUEUE_PAUSED, "queue_paused", "queue paused")                                                                                  \
	X(POOL_PAUSED, "pool_paused", "pool paused")                                                                                     \
	X(NO_POOL_FOR_ROLE, "no_pool_for_role", "no pool for the handler's role")                                                        \
	X(NO_POOL_RUNS, "no_pool_runs", "no pool is running in this database, see taskq.status()")                                       \
	X(NO_SLOT_FREE, "no_slot_free", "no background worker slot is free, see taskq.status()")                                         \
	X(NOT_ADOPTED, "not_adopted", "database not adopted, see taskq.adopt_database()")                                                \
	X(NO_LIVE_WORKER, "no_live_worker", "no live worker with the type")                                                              \
	X(ONLY_IMPLICIT_WORKERS, "only_implicit_workers", "only implicit workers take the type, see taskq.register_worker()")            \
	X(WAITING_FOR_CAPABLE_WORKER, "waiting_for_capable_worker", "no live worker with the capabilities")                              \
	X(WAITING_FOR_TENANT_WORKER, "waiting_for_tenant_worker", "live workers with the type are bound to other tenants")               \
	X(INVALID_CAPABILITIES, "invalid_capabilities", "a required capability is not valid")                                            \
	/* one worker is not given them */                                                                                               \
	X(QUEUE_NOT_TAKEN, "queue_not_taken", "the worker does not take this queue")                                                     \
	X(TYPE_NOT_TAKEN, "type_not_taken", "the worker does not take this type")                                                        \
	X(TYPE_NOT_CALLED, "type_not_called", "the type is not among those of the call")                                                 \
	X(TYPE_IN_SERVER, "type_in_server", "the type is handled in the server, and not also_external")                                  \
	X(TYPE_EXTERNAL, "type_external", "the type is for external workers")                                                            \
	X(OTHER_ROLE, "other_role", "the handler runs as another role")                                                                  \
	X(PROCEDURE, "procedure", "a procedure cannot be run inside a statement")                                                        \
	X(TENANT_NOT_TAKEN, "tenant_not_taken", "the worker is bound to other tenants")                                                  \
	X(LACKS_CAPABILITIES, "lacks_capabilities", "the worker lacks capabilities")                                                     \
	/* one worker is given no jobs at all */                                                                                         \
	X(WORKER_DRAINING, "worker_draining", "the worker is draining")                                                                  \
	X(WORKER_UNREGISTERED, "worker_unregistered", "the worker was unregistered")                                                     \
	X(WORKER_UNKNOWN, "worker_unknown", "no such background worker runs")                                                            \
	X(WORKER_NOT_REGISTERED, "worker_not_registered", "the worker is not registered, and taskq.implicit_workers is off")             \
	X(WORKER_NAMES_NO_INSTANCE, "worker_names_no_instance", "other instances of the worker are registered, and the call names none") \
	X(WORKER_NAMES_NO_TYPES, "worker_names_no_types", "the worker is not registered, and the call names no task types")              \
	X(WORKER_OF_OTHER_ROLE, "worker_of_other_role", "the worker was registered by another role")                                     \
	/* a rule of admission lets the job wait */                                                                                      \
	X(MAX_CONCURRENT_JOBS, "max_concurrent_jobs", "the worker has max_concurrent_jobs")                                              \
	X(TRIAL, "trial", "the type is on trial, and another job of it runs")                                                            \
	X(SUSPECT_ALONE, "suspect_alone", "other jobs wait while one that may have crashed the server is tried alone")                   \
	X(CRASH_TO_RECORD, "crash_to_record", "it may have crashed the server, which is still to be recorded")                           \
	X(END_TO_RECORD, "end_to_record", "the end of its last run is still to be recorded")                                             \
	X(CANCEL_REQUESTED, "cancel_requested", "is to be cancelled")                                                                    \
	X(RUNNING, "running", "is running")                                                                                              \
	X(LIMIT, "limit", "a limit is reached")                                                                                          \
	X(LIMIT_ARMING, "limit_arming", "a new or changed limit waits for claims that began before it")                                  \
	X(LIMIT_MEMORY, "limit_memory", "as many jobs run under limits as taskq.max_held_jobs allows")                                   \
	X(ORDER, "order", "another job of its group comes first")                                                                        \
	X(RATE_LIMIT, "rate_limit", "the rate of a limit lets the next job start later")                                                 \
	X(QUOTA, "quota", "the quota of a limit is used up")                                                                             \
	X(WEIGHT_OVER_LIMIT, "weight_over_limit", "the job weighs more than a limit lets start at once")                                 \
	X(BUDGET, "budget", "a budget is used up")                                                                                       \
	X(BUDGET_ARMING, "budget_arming", "what was used of a budget is not added up yet")                                               \
	X(NEEDS_PRELOAD, "needs_preload", "jobs under a limit start only with taskq in shared_preload_libraries")                        \
	X(TESTING, "testing", "closed for a test")                                                                                       \
	/* nothing prevents the job from starting */                                                                                     \
	X(TURN, "turn", "waits for its turn")                                                                                            \
	X(RUN_AT, "run_at", "waits for its run_at")                                                                                      \
	X(NEXT_ATTEMPT, "next_attempt", "waits for its next attempt")                                                                    \
	/* the job has ended */                                                                                                          \
	X(NO_ATTEMPTS_LEFT, "no_attempts_left", "no attempts left")                                                                      \
	X(NO_RETRY, "no_retry", "not worth a retry")                                                                                     \
	X(DISCARDED, "discarded", "discarded by an operator")                                                                            \
	X(CRASHED_SERVER, "crashed_server", "it crashed the server")

typedef enum ReasonCode
{
	REASON_NONE, /* nothing prevents the job from running */
#define REASON_SYMBOL(symbol, code, text) REASON_##symbol,
	REASONS(REASON_SYMBOL)
#undef REASON_SYMBOL
} ReasonCode;

extern const char *ReasonName(ReasonCode code);
extern const char *ReasonText(ReasonCode code);
extern ReasonCode  ReasonByName(const char *name);

#endif /* TASKQ_REASON_H */
