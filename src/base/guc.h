/*
 * guc.h
 *	  Settings.  The value of the setting taskq.x is in the C variable taskq_x.
 */
#ifndef TASKQ_GUC_H
#define TASKQ_GUC_H

#include "taskq.h"

extern bool	 taskq_allow_superuser_handlers;
extern int	 taskq_default_pool_size;
extern bool	 taskq_enabled;
extern int	 taskq_event_notify_interval;
extern int	 taskq_frame_level;
extern int	 taskq_frame_memory;
extern bool	 taskq_implicit_workers;
extern int	 taskq_job_memory_limit;
extern int	 taskq_job_timeout;
extern int	 taskq_lease;
extern int	 taskq_max_databases;
extern int	 taskq_max_handler_statistics;
extern int	 taskq_max_budgets;
extern int	 taskq_max_held_jobs;
extern int	 taskq_max_lanes;
extern int	 taskq_max_rate_values;
extern int	 taskq_max_payload_size;
extern int	 taskq_max_result_size;
extern int	 taskq_max_route_counts;
extern int	 taskq_max_routes;
extern int	 taskq_max_wait;
extern int	 taskq_node_id;
extern int	 taskq_poll_interval;
extern int	 taskq_ready_list_size;
extern int	 taskq_reserved_workers;
extern int	 taskq_role_share;
extern int	 taskq_route_idle;
extern int	 taskq_share_commit_jobs;
extern char *taskq_tenant_id;
extern bool	 taskq_use_ready_list;
extern int	 taskq_validation_timeout;
extern int	 taskq_worker_idle;
extern int	 taskq_worker_max_age;
extern int	 taskq_worker_max_jobs;
extern int	 taskq_worker_max_memory;
#ifdef TASKQ_TESTING
extern int	  taskq_clock_offset;
extern int	  taskq_steady_offset;
extern char	 *taskq_injection_point;
extern double taskq_retry_jitter;
#endif

extern void GucInit(void);

#endif /* TASKQ_GUC_H */
