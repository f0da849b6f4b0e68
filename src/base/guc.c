/*
 * guc.c
 *	  All settings, in alphabetical order.
 */
#include "taskq.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "base/guc.h"

/*
 * Handlers run with the rights of the role that registered them.  A mistake in a
 * handler that runs as a superuser can damage the whole cluster, so such handlers
 * are refused unless the administrator turns this setting on.
 */
bool taskq_allow_superuser_handlers = false;

/* Size of the pool that is made when a role registers its first in-server handler. */
int taskq_default_pool_size = 4;

/*
 * If off, no scheduler and no worker is started anywhere in the cluster, and those
 * that run stop after the job in hand.  Turn it off in a clone of a production server
 * before its first start.
 */
bool taskq_enabled = true;

/*
 * Shortest time, in milliseconds, between two notifications of new events.  The
 * scheduler sends them, because commits with a NOTIFY wait for each other in the
 * whole cluster.  0: no notifications are sent.
 */
int taskq_event_notify_interval = 0;

/* Lowest level of a run's messages that are kept.  It can be set for a role or a function. */
int taskq_frame_level = NOTICE;

/*
 * Shared memory for the messages of one run, in kB, for each connection that the
 * server may have.  0: no messages are kept.
 */
int taskq_frame_memory = 16;

/* If off, only external workers that are registered can claim jobs. */
bool taskq_implicit_workers = true;

/*
 * Memory, in kB, that a run in a background worker may allocate in addition to what
 * the worker has at its start.  0: no limit.
 */
int taskq_job_memory_limit = 0;

/* Timeout, in milliseconds, of in-server runs whose job and handler set none. */
int taskq_job_timeout = 5 * 60 * 1000;

/* Lease, in milliseconds, of an external worker's claim that sets none. */
int taskq_lease = 60 * 1000;

/* Number of databases with taskq for which shared memory is reserved. */
int taskq_max_databases = 64;

/* Number of task types, of all databases together, for which stat_handlers has room. */
int taskq_max_handler_statistics = 1000;

/* Number of budgets, of all databases together, for which shared memory is reserved. */
int taskq_max_budgets = 10000;

/* Number of running jobs under limits, of all databases together, for which shared memory is reserved. */
int taskq_max_held_jobs = 10000;
int taskq_max_lanes = 16384;

/* Number of values of keys with a rate or a quota, of all databases together, for which shared memory is reserved. */
int taskq_max_rate_values = 10000;

/* Largest payload, in bytes.  Applications keep larger data in tables of their own. */
int taskq_max_payload_size = 1024 * 1024;

/* Largest result of a job, in bytes. */
int taskq_max_result_size = 1024 * 1024;

/* Number of routes, of all databases together, whose jobs are counted in shared memory.  0: none. */
int taskq_max_route_counts = 10000;

/*
 * Largest number of routes, that is, of different (queue, task type, capabilities,
 * min_version).  Workers look at each route, so this stops a program that makes
 * such names from its data.
 */
int taskq_max_routes = 10000;

/*
 * Longest wait of a claim for a job, in milliseconds.  It is bounded because a
 * waiting statement holds a snapshot.
 */
int	  taskq_max_wait = 5 * 1000;
char *taskq_tenant_id = NULL; /* if not empty, the session sees only the jobs of this tenant */

/* This server's number among several that share work.  It is in bits 48 to 62 of job ids. */
int taskq_node_id = 0;

/*
 * How often, in milliseconds, processes look for work without being woken.  Jobs
 * that arrive by a restore or by replication wake nobody, and wait so long at most.
 */
int taskq_poll_interval = 5 * 1000;

/*
 * Number of hints for which the ready list has room in shared memory.  0: there is
 * no list, and claims read the index from its head.
 */
int taskq_ready_list_size = 65536;

/*
 * Number of the slots of max_worker_processes that pools leave free for other uses,
 * such as parallel queries and logical replication.
 */
int taskq_reserved_workers = 1;

/*
 * Largest share of one role, in percent: of the worker slots, if other roles have
 * pools too, and of the routes.
 */
int taskq_role_share = 75;

/* Time, in milliseconds, after which a route without jobs is removed. */
int taskq_route_idle = 24 * 3600 * 1000;

/*
 * Largest number of runs that share a commit.  If the commit fails, all of them run
 * again, one by one.  Only very short runs reach this number, because the time and
 * the subtransactions of a shared commit are limited too (dispatch.c).
 */
int taskq_share_commit_jobs = 50;

/* If off, the claims of a session read the index instead of the ready list.  The list is still kept. */
bool taskq_use_ready_list = true;

/* Time limit, in milliseconds, for a payload type and a validator to check a payload. */
int taskq_validation_timeout = 1000;

/* Time, in milliseconds, after which an idle background worker exits, if its pool has more than min_size. */
int taskq_worker_idle = 60 * 1000;

/*
 * A background worker exits after the job in hand, and a new one replaces it, once
 * it has lived so many seconds, run so many jobs, or grown by so many kB.  0: no limit.
 */
int taskq_worker_max_age = 3600;
int taskq_worker_max_jobs = 0;
int taskq_worker_max_memory = 256 * 1024;

#ifdef TASKQ_TESTING
/* Milliseconds that are added to the time of taskq's clock. */
int taskq_clock_offset = 0;

/* The same for the clock that cannot be set. */
int taskq_steady_offset = 0;

/* Names of the injection points at which this session waits, separated by spaces; see injection_point.h. */
char *taskq_injection_point = NULL;

/* Replaces the random part of retry delays by a value from -1 to 1; 2 leaves it random. */
double taskq_retry_jitter = 2;
#endif

/*
 * Check hook of taskq.job_memory_limit.  The kernel enforces the limit, and only
 * Linux counts all of malloc()'s memory for it (memory.c).
 */
static bool
CheckMemoryLimit(int *value, void **extra, GucSource source)
{
#ifndef __linux__
	if (*value != 0)
	{
		GUC_check_errdetail("Memory of a run can only be limited on Linux.");
		return false;
	}
#endif
	return true;
}

static const struct config_enum_entry frame_levels[] = {
	{ "info", INFO, false },
	{ "notice", NOTICE, false },
	{ "warning", WARNING, false },
	{ "error", ERROR, false },
	{ "none", PANIC + 1, false },
	{ NULL, 0, false }
};

/* Define the settings that only a preloaded library may define. */
static void
DefinePostmasterSettings(void)
{
	DefineCustomIntVariable("taskq.frame_memory",
							"Sets the shared memory for the messages of a run, for each connection that the server may have; 0 keeps none.",
							NULL, &taskq_frame_memory, 16, 0, 1024,
							PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_databases",
							"Sets the number of databases with taskq for which shared memory is reserved.",
							NULL, &taskq_max_databases, 64, 1, 10000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_handler_statistics",
							"Sets the number of task types for which stat_handlers has room.",
							NULL, &taskq_max_handler_statistics, 1000, 10, 1000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_budgets",
							"Sets the number of budgets for which shared memory has room.",
							NULL, &taskq_max_budgets, 10000, 1, 1000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_held_jobs",
							"Sets the number of running jobs under limits for which shared memory has room.",
							NULL, &taskq_max_held_jobs, 10000, 1, 10000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_lanes",
							"Sets the number of lanes, of jobs with the same values of the keys by which they are limited, for which shared memory has room.",
							NULL, &taskq_max_lanes, 16384, 16, 10000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_rate_values",
							"Sets the number of values of keys with a rate or a quota of their own for which shared memory has room.",
							NULL, &taskq_max_rate_values, 10000, 16, 10000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_route_counts",
							"Sets the number of routes for which shared memory has counts of jobs; 0 keeps none.",
							NULL, &taskq_max_route_counts, 10000, 0, 10000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.ready_list_size",
							"Sets the number of due jobs for which the ready list has room; 0 disables the list.",
							NULL, &taskq_ready_list_size, 65536, 0, 100000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

void
GucInit(void)
{
	DefineCustomBoolVariable("taskq.allow_superuser_handlers",
							 "Allows handlers to run as a superuser.",
							 NULL, &taskq_allow_superuser_handlers, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
#ifdef TASKQ_TESTING
	DefineCustomIntVariable("taskq.clock_offset",
							"Sets an offset that is added to taskq's clock, for tests.",
							NULL, &taskq_clock_offset, 0, INT_MIN, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.steady_offset",
							"Sets an offset that is added to the clock that cannot be set, for tests.",
							NULL, &taskq_steady_offset, 0, INT_MIN, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
#endif
#ifdef TASKQ_TESTING
	DefineCustomStringVariable("taskq.injection_point",
							   "Sets the injection points at which the session waits, for tests.",
							   NULL, &taskq_injection_point, "", PGC_SUSET, 0, NULL, NULL, NULL);
#endif
	DefineCustomIntVariable("taskq.default_pool_size",
							"Sets the size of the pool that is made when a role registers its first in-server handler.",
							NULL, &taskq_default_pool_size, 4, 0, 1024,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.enabled",
							 "Enables schedulers and the workers of pools.",
							 NULL, &taskq_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.event_notify_interval",
							"Sets the shortest time between two notifications of new events on channel taskq_events; 0 sends none.",
							NULL, &taskq_event_notify_interval, 0, 0, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("taskq.frame_level",
							 "Sets the lowest level of the messages of a run that are kept.",
							 NULL, &taskq_frame_level, NOTICE, frame_levels,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.implicit_workers",
							 "Allows external workers that are not registered to claim jobs.",
							 NULL, &taskq_implicit_workers, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.job_memory_limit",
							"Sets the maximum memory that a run in a background worker may allocate; 0 is no limit.",
							NULL, &taskq_job_memory_limit, 0, 0, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, CheckMemoryLimit, NULL, NULL);
	DefineCustomIntVariable("taskq.job_timeout",
							"Sets the timeout of in-server runs whose job and handler set none; 0 is no limit.",
							NULL, &taskq_job_timeout, 5 * 60 * 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.lease",
							"Sets the lease of an external worker's claim that sets none.",
							NULL, &taskq_lease, 60 * 1000, 1000, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_payload_size",
							"Sets the maximum size of a job's payload, as stored before compression.",
							NULL, &taskq_max_payload_size, 1024 * 1024, 1024, 256 * 1024 * 1024,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_result_size",
							"Sets the maximum size of a job's result, as stored before compression.",
							NULL, &taskq_max_result_size, 1024 * 1024, 1024, 256 * 1024 * 1024,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_routes",
							"Sets the maximum number of different combinations of queue, task type, capabilities and min_version.",
							NULL, &taskq_max_routes, 10000, 1, 1000000,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_wait",
							"Sets the maximum time that a claim waits for a job.",
							NULL, &taskq_max_wait, 5 * 1000, 0, 3600 * 1000,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.node_id",
							"Sets this server's number, which is in bits 48 to 62 of new job ids.",
							NULL, &taskq_node_id, 0, 0, 32767,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.poll_interval",
							"Sets the maximum time until a job is seen that arrived without a wake-up.",
							NULL, &taskq_poll_interval, 5 * 1000, 100, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
#ifdef TASKQ_TESTING
	DefineCustomRealVariable("taskq.retry_jitter",
							 "Replaces the random part of retry delays, for tests; 2 leaves it random.",
							 NULL, &taskq_retry_jitter, 2, -1, 2,
							 PGC_SUSET, 0, NULL, NULL, NULL);
#endif
	DefineCustomIntVariable("taskq.reserved_workers",
							"Sets the number of max_worker_processes that the workers of pools leave free.",
							NULL, &taskq_reserved_workers, 1, 0, 1024,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.role_share",
							"Sets the maximum share of one role in worker slots and routes, in percent.",
							NULL, &taskq_role_share, 75, 1, 100,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.route_idle",
							"Sets the time without jobs after which a combination of queue, task type, capabilities and min_version is forgotten.",
							NULL, &taskq_route_idle, 24 * 3600 * 1000, 1000, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.share_commit_jobs",
							"Sets the maximum number of jobs that share a commit.",
							NULL, &taskq_share_commit_jobs, 50, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("taskq.tenant_id",
							   "Restricts the jobs that the session can see to those of this tenant.",
							   NULL, &taskq_tenant_id, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.use_ready_list",
							 "Enables claiming through the ready list.",
							 NULL, &taskq_use_ready_list, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.validation_timeout",
							"Sets the maximum time that a payload type and a validator take to check a payload.",
							NULL, &taskq_validation_timeout, 1000, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.worker_idle",
							"Sets the time after which an idle background worker exits.",
							NULL, &taskq_worker_idle, 60 * 1000, 100, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("taskq.worker_max_age",
							"Sets the maximum age of a background worker; 0 is no limit.",
							NULL, &taskq_worker_max_age, 3600, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.worker_max_jobs",
							"Sets the maximum number of jobs that a background worker runs; 0 is no limit.",
							NULL, &taskq_worker_max_jobs, 0, 0, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.worker_max_memory",
							"Sets the maximum memory by which a background worker grows; 0 is no limit.",
							NULL, &taskq_worker_max_memory, 256 * 1024, 0, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);

	/*
	 * If the library is not preloaded, defining a PGC_POSTMASTER setting would be
	 * a FATAL error for the session that runs CREATE EXTENSION.
	 */
	if (process_shared_preload_libraries_in_progress)
		DefinePostmasterSettings();

	MarkGUCPrefixReserved("taskq");
}
