/*
 * guc.c
 *	  All settings, in alphabetical order, with a word to the administrator.
 */
#include "taskq.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "base/guc.h"

/*
 * Handlers run with the rights of the role that registered them.  A handler
 * that runs as a superuser turns every mistake in it into one on the whole
 * cluster, so that is refused unless the administrator says otherwise here.
 */
bool taskq_allow_superuser_handlers = false;

/* Size of the pool that the first in-server handler of a role brings. */
int taskq_default_pool_size = 4;

/*
 * Off: no scheduler and no worker runs anywhere in the cluster; what runs
 * finishes.  Set it in a clone of a production server before its first start.
 */
bool taskq_enabled = true;

/*
 * NOTIFY makes all commits of the cluster wait for each other, so transactions
 * never send one.  The scheduler may, at most so often; 0 is never.
 */
int taskq_event_notify_interval = 0;

/* From which level on a run's messages are kept; each role and function may have its own. */
int taskq_frame_level = NOTICE;

/*
 * Room for the messages of one run, in kB, for each connection that the server
 * may have.  0: none are kept.
 */
int taskq_frame_memory = 16;

/* Off: no worker is given a job that was not registered. */
bool taskq_implicit_workers = true;

/*
 * How much memory, in kB, a run in a background worker may take beyond what the
 * worker has.  0: as much as there is.
 */
int taskq_job_memory_limit = 0;

/* Longest run of an in-server handler that has no timeout of its own. */
int taskq_job_timeout = 5 * 60 * 1000;

/* Lease of an external worker's claim where nothing else says. */
int taskq_lease = 60 * 1000;

/* Databases with taskq that shared memory has room for. */
int taskq_max_databases = 64;

/* Task types of all databases together that stat_handlers has room for. */
int taskq_max_handler_statistics = 1000;

/* Larger payloads belong into a table of the application's own. */
int taskq_max_payload_size = 1024 * 1024;

/* The same of results. */
int taskq_max_result_size = 1024 * 1024;

/*
 * Each (queue, task type, capabilities) that was ever enqueued is a row that
 * workers look at.  This stops a program that makes names up from the data.
 */
int taskq_max_routes = 10000;

/* A claim that waits pins its statement's snapshot, so the wait is bounded. */
int	  taskq_max_wait = 5 * 1000;
char *taskq_tenant_id = NULL;

/* This server's number among several that share work: bits 48-62 of job ids. */
int taskq_node_id = 0;

/*
 * Everything is woken when it is due.  This is how long a job waits at most
 * that came past the wake-up, by a restore or replication.
 */
int taskq_poll_interval = 5 * 1000;

/*
 * Room for so many hints at due jobs, in shared memory.  0: claims read the index
 * from its head.
 */
int taskq_ready_list_size = 65536;

/*
 * Worker slots that pools leave to others: to parallel queries, to replication.
 */
int taskq_reserved_workers = 1;

/*
 * How much one role may take, in percent, of what all share and others may need:
 * worker slots where several roles have pools, and routes.
 */
int taskq_role_share = 75;

/* After how long without a job a route is removed. */
int taskq_route_idle = 24 * 3600 * 1000;

/*
 * How many runs a commit holds at most.  They are run again, singly, if it fails,
 * and other limits come first for all but the very shortest.
 */
int taskq_share_commit_jobs = 50;

/* Off: the claims of a session do not go by the list, which is kept all the same. */
bool taskq_use_ready_list = true;

/* How long what users bring may take to check a payload. */
int taskq_validation_timeout = 1000;

/* How long a background worker without work stays (beyond min_size). */
int taskq_worker_idle = 60 * 1000;

/*
 * When a worker leaves after the job in hand, for a fresh one: after so many
 * seconds, so many jobs, so many kB more than it began with.  0: never.
 */
int taskq_worker_max_age = 3600;
int taskq_worker_max_jobs = 0;
int taskq_worker_max_memory = 256 * 1024;

#ifdef TASKQ_TESTING
/* Moves taskq's clock, in milliseconds.  Only in builds for tests. */
int taskq_clock_offset = 0;

/* Where this session is to be held; see injection_point.h. */
char *taskq_injection_point = NULL;

/* What stands for the chance in retry delays, from -1 to 1; 2 is chance. */
double taskq_retry_jitter = 2;
#endif

/* The kernel keeps the limit, and only Linux's counts what malloc() gives out. */
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

/* Define settings that only a preloaded library may define. */
static void
DefinePostmasterSettings(void)
{
	DefineCustomIntVariable("taskq.frame_memory",
							"Room for the messages of a run, for each connection that the server may have; 0 keeps none.",
							NULL, &taskq_frame_memory, 16, 0, 1024,
							PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_databases",
							"Number of databases with taskq that shared memory has room for.",
							NULL, &taskq_max_databases, 64, 1, 10000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_handler_statistics",
							"Number of task types that stat_handlers has room for.",
							NULL, &taskq_max_handler_statistics, 1000, 10, 1000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.ready_list_size",
							"Number of due jobs that the ready list has room for; 0 is no list.",
							NULL, &taskq_ready_list_size, 65536, 0, 100000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

void
GucInit(void)
{
	DefineCustomBoolVariable("taskq.allow_superuser_handlers",
							 "Lets handlers run as a superuser.",
							 NULL, &taskq_allow_superuser_handlers, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
#ifdef TASKQ_TESTING
	DefineCustomIntVariable("taskq.clock_offset",
							"Moves taskq's clock, for tests.",
							NULL, &taskq_clock_offset, 0, INT_MIN, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
#endif
#ifdef TASKQ_TESTING
	DefineCustomStringVariable("taskq.injection_point",
							   "Place at which the session waits, for tests.",
							   NULL, &taskq_injection_point, "", PGC_SUSET, 0, NULL, NULL, NULL);
#endif
	DefineCustomIntVariable("taskq.default_pool_size",
							"Size of the pool that the first in-server handler of a role brings.",
							NULL, &taskq_default_pool_size, 4, 0, 1024,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.enabled",
							 "Runs schedulers and pools.",
							 NULL, &taskq_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.event_notify_interval",
							"Shortest time between two notifications of new events on channel taskq_events; 0 is none.",
							NULL, &taskq_event_notify_interval, 0, 0, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("taskq.frame_level",
							 "From which level on the messages of a run are kept.",
							 NULL, &taskq_frame_level, NOTICE, frame_levels,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.implicit_workers",
							 "Lets workers claim that were not registered.",
							 NULL, &taskq_implicit_workers, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.job_memory_limit",
							"Most memory that a run in a background worker may take; 0 is no limit.",
							NULL, &taskq_job_memory_limit, 0, 0, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, CheckMemoryLimit, NULL, NULL);
	DefineCustomIntVariable("taskq.job_timeout",
							"Longest run of an in-server handler without a timeout of its own; 0 is no limit.",
							NULL, &taskq_job_timeout, 5 * 60 * 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.lease",
							"Lease of an external worker's claim where nothing else says.",
							NULL, &taskq_lease, 60 * 1000, 1000, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_payload_size",
							"Largest payload of a job, as stored before compression.",
							NULL, &taskq_max_payload_size, 1024 * 1024, 1024, 256 * 1024 * 1024,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_result_size",
							"Largest result of a job, as stored before compression.",
							NULL, &taskq_max_result_size, 1024 * 1024, 1024, 256 * 1024 * 1024,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_routes",
							"Number of different (queue, task type, capabilities) that jobs may have.",
							NULL, &taskq_max_routes, 10000, 1, 1000000,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_wait",
							"Longest time that a claim waits for a job.",
							NULL, &taskq_max_wait, 5 * 1000, 0, 3600 * 1000,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.node_id",
							"This server's number in bits 48 to 62 of new job ids.",
							NULL, &taskq_node_id, 0, 0, 32767,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.poll_interval",
							"Longest time until a job is seen that came past the wake-up.",
							NULL, &taskq_poll_interval, 5 * 1000, 100, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
#ifdef TASKQ_TESTING
	DefineCustomRealVariable("taskq.retry_jitter",
							 "Stands for the chance in retry delays, for tests; 2 is chance.",
							 NULL, &taskq_retry_jitter, 2, -1, 2,
							 PGC_SUSET, 0, NULL, NULL, NULL);
#endif
	DefineCustomIntVariable("taskq.reserved_workers",
							"How many of max_worker_processes the workers of pools leave to others.",
							NULL, &taskq_reserved_workers, 1, 0, 1024,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.role_share",
							"How much one role may take of worker slots and routes, in percent.",
							NULL, &taskq_role_share, 75, 1, 100,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.route_idle",
							"After how long without a job a combination of queue, task type, capabilities and min_version is forgotten.",
							NULL, &taskq_route_idle, 24 * 3600 * 1000, 1000, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.share_commit_jobs",
							"How many jobs may share a commit.",
							NULL, &taskq_share_commit_jobs, 50, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("taskq.tenant_id",
							   "Narrows what the session sees of jobs to this tenant's.",
							   NULL, &taskq_tenant_id, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.use_ready_list",
							 "Has claims go by the ready list.",
							 NULL, &taskq_use_ready_list, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.validation_timeout",
							"How long a payload type and a validator may take to check a payload.",
							NULL, &taskq_validation_timeout, 1000, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.worker_idle",
							"How long a background worker without work stays.",
							NULL, &taskq_worker_idle, 60 * 1000, 100, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("taskq.worker_max_age",
							"How long a background worker lives; 0 is no limit.",
							NULL, &taskq_worker_max_age, 3600, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.worker_max_jobs",
							"How many jobs a background worker runs; 0 is no limit.",
							NULL, &taskq_worker_max_jobs, 0, 0, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.worker_max_memory",
							"How much memory a background worker may grow by; 0 is no limit.",
							NULL, &taskq_worker_max_memory, 256 * 1024, 0, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);

	/*
	 * Defined after start, a PGC_POSTMASTER setting is a FATAL error for the
	 * session that runs CREATE EXTENSION.
	 */
	if (process_shared_preload_libraries_in_progress)
		DefinePostmasterSettings();

	MarkGUCPrefixReserved("taskq");
}
