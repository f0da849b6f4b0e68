/*
 * columns.h
 *	  The columns of taskq's tables, one line a column.
 *
 * Each table has a list of its columns in the order of CREATE TABLE.  A line is
 * X(t, column, type) for a macro X and a table t.  The list makes the numbers of the
 * columns, Anum_<table>_<column>, and what CatalogCheckColumns() compares with the
 * catalog.  Columns are read by number, so a list that differs from the table would
 * crash the server.
 *
 * The lists of the tables whose rows C code reads or writes as a whole also make the
 * fields of structs and the code that reads and writes them (row.h; job.h and
 * job_row.c for jobs).  So their lines name a kind, which says how a field holds the
 * column (the kinds are in row.h), and, for a finished job, which struct has the field.
 */
#ifndef TASKQ_COLUMNS_H
#define TASKQ_COLUMNS_H

#include "taskq.h"

#include "access/tupdesc.h"

#include "store/rels.h"

#define JOBS_COLUMNS(X, t)                               \
	X(t, job_id, INT8OID, INT64)                         \
	X(t, run_at, TIMESTAMPTZOID, TIME)                   \
	X(t, created_at, TIMESTAMPTZOID, TIME)               \
	X(t, epoch, INT8OID, INT64)                          \
	X(t, route_id, INT4OID, INT32)                       \
	X(t, attempt, INT4OID, INT32)                        \
	X(t, max_attempts, INT4OID, INT32)                   \
	X(t, priority, INT2OID, INT16)                       \
	X(t, life, INT2OID, INT16)                           \
	X(t, terminations, INT2OID, INT16)                   \
	X(t, crashes, INT2OID, INT16)                        \
	X(t, gate, CHAROID, GATE)                            \
	X(t, state, CHAROID, CHAR)                           \
	X(t, group_id, INT8OID, GROUP_ID)                    \
	X(t, started_at, TIMESTAMPTZOID, TIME_OR_NULL)       \
	X(t, lease_expires_at, TIMESTAMPTZOID, TIME_OR_NULL) \
	X(t, permit, INT4OID, INT32_OR_NULL)                 \
	X(t, last_outcome, CHAROID, CHAR_OR_NULL)            \
	X(t, timeout, INTERVALOID, INTERVAL)                 \
	X(t, lease, INTERVALOID, INTERVAL)                   \
	X(t, worker_id, TEXTOID, VARLENA)                    \
	X(t, payload, JSONBOID, VARLENA)                     \
	X(t, progress, JSONBOID, VARLENA)                    \
	X(t, tags, TEXTARRAYOID, VARLENA)                    \
	X(t, tenant_id, TEXTOID, VARLENA)                    \
	X(t, group_key, TEXTOID, VARLENA)                    \
	X(t, last_error, TEXTOID, VARLENA)                   \
	X(t, checkpoint, JSONBOID, VARLENA)                  \
	X(t, correlation_id, TEXTOID, VARLENA)               \
	X(t, created_by, OIDOID, OID_OR_NULL)                \
	X(t, claimed_by, OIDOID, OID_OR_NULL)                \
	X(t, instance_id, TEXTOID, VARLENA)                  \
	X(t, weight, INT4OID, INT32_OR_NULL)                 \
	X(t, lane, INT8OID, INT64_OR_NULL)

#define JOB_HISTORY_COLUMNS(X, t)                       \
	X(t, job_id, INT8OID, INT64, job)                   \
	X(t, run_at, TIMESTAMPTZOID, TIME, job)             \
	X(t, created_at, TIMESTAMPTZOID, TIME, job)         \
	X(t, epoch, INT8OID, INT64, job)                    \
	X(t, finished_at, TIMESTAMPTZOID, TIME, ending)     \
	X(t, expires_on, DATEOID, DATE, ending)             \
	X(t, route_id, INT4OID, INT32, job)                 \
	X(t, attempt, INT4OID, INT32, job)                  \
	X(t, max_attempts, INT4OID, INT32, job)             \
	X(t, priority, INT2OID, INT16, job)                 \
	X(t, life, INT2OID, INT16, job)                     \
	X(t, state, CHAROID, CHAR, job)                     \
	X(t, superseded, BOOLOID, BOOL, ending)             \
	X(t, group_id, INT8OID, GROUP_ID, job)              \
	X(t, started_at, TIMESTAMPTZOID, TIME_OR_NULL, job) \
	X(t, last_outcome, CHAROID, CHAR_OR_NULL, job)      \
	X(t, timeout, INTERVALOID, INTERVAL, job)           \
	X(t, lease, INTERVALOID, INTERVAL, job)             \
	X(t, worker_id, TEXTOID, VARLENA, job)              \
	X(t, handler_version, TEXTOID, VARLENA, ending)     \
	X(t, payload, JSONBOID, VARLENA, job)               \
	X(t, result, JSONBOID, VARLENA, ending)             \
	X(t, progress, JSONBOID, VARLENA, job)              \
	X(t, tags, TEXTARRAYOID, VARLENA, job)              \
	X(t, tenant_id, TEXTOID, VARLENA, job)              \
	X(t, group_key, TEXTOID, VARLENA, job)              \
	X(t, last_error, TEXTOID, VARLENA, job)             \
	X(t, checkpoint, JSONBOID, VARLENA, job)            \
	X(t, correlation_id, TEXTOID, VARLENA, job)         \
	X(t, created_by, OIDOID, OID_OR_NULL, job)          \
	X(t, claimed_by, OIDOID, OID_OR_NULL, job)          \
	X(t, instance_id, TEXTOID, VARLENA, job)            \
	X(t, weight, INT4OID, INT32_OR_NULL, job)

#define ATTEMPT_FAILURES_COLUMNS(X, t)             \
	X(t, job_id, INT8OID, INT64)                   \
	X(t, epoch, INT8OID, INT64)                    \
	X(t, attempt, INT4OID, INT32)                  \
	X(t, started_at, TIMESTAMPTZOID, TIME_OR_NULL) \
	X(t, finished_at, TIMESTAMPTZOID, TIME)        \
	X(t, worker_id, TEXTOID, VARLENA)              \
	X(t, handler_version, TEXTOID, TEXT)           \
	X(t, outcome, TEXTOID, TEXT)                   \
	X(t, error_type, TEXTOID, TEXT)                \
	X(t, error_code, TEXTOID, VARLENA)             \
	X(t, error_message, TEXTOID, VARLENA)          \
	X(t, sqlstate, TEXTOID, TEXT)                  \
	X(t, detail, TEXTOID, VARLENA)                 \
	X(t, hint, TEXTOID, VARLENA)                   \
	X(t, context, TEXTOID, VARLENA)                \
	X(t, instance_id, TEXTOID, VARLENA)

#define ROUTES_COLUMNS(X, t)                       \
	X(t, route_id, INT4OID, INT32)                 \
	X(t, queue_id, INT4OID, INT32)                 \
	X(t, task_type, TEXTOID, TEXT)                 \
	X(t, capabilities, TEXTARRAYOID, NAMES)        \
	X(t, min_version, TEXTOID, TEXT)               \
	X(t, made_by, REGROLEOID, OID_OR_NULL)         \
	X(t, retired_at, TIMESTAMPTZOID, TIME_OR_NULL) \
	X(t, removable_on, DATEOID, DATE_OR_NULL)      \
	X(t, budgets, TEXTARRAYOID, NAMES)             \
	X(t, estimated_cost, NUMERICOID, VARLENA)      \
	X(t, tenant_id, TEXTOID, TEXT)

#define QUEUE_DEFS_COLUMNS(X, t)                      \
	X(t, queue_id, INT4OID, INT32)                    \
	X(t, queue, TEXTOID, TEXT)                        \
	X(t, description, TEXTOID, TEXT)                  \
	X(t, paused, BOOLOID, BOOL)                       \
	X(t, keep_payload, BOOLOID, BOOL)                 \
	X(t, retain_completed, INTERVALOID, MICROSECONDS) \
	X(t, retain_other, INTERVALOID, MICROSECONDS)     \
	X(t, on_unhandled, TEXTOID, TEXT)                 \
	X(t, created_at, TIMESTAMPTZOID, TIME)            \
	X(t, events, BOOLOID, BOOL)                       \
	X(t, retain_events, INTERVALOID, MICROSECONDS)    \
	X(t, validate_payloads, BOOLOID, BOOL)            \
	X(t, ordered, BOOLOID, BOOL)                      \
	X(t, on_delayed, TEXTOID, TEXT)                   \
	X(t, lined_up_to, INT8OID, INT64_OR_NULL)         \
	X(t, fair, BOOLOID, BOOL)                         \
	X(t, fair_by, TEXTARRAYOID, NAMES)                \
	X(t, weights, JSONBOID, JSON)                     \
	X(t, age_every, INTERVALOID, MICROSECONDS)        \
	X(t, order_id, INT4OID, INT32_OR_NULL)

#define HANDLERS_COLUMNS(X, t)                          \
	X(t, task_type, TEXTOID, TEXT)                      \
	X(t, signature, TEXTOID, TEXT)                      \
	X(t, function_oid, OIDOID, OID_OR_NULL)             \
	X(t, takes_job, BOOLOID, BOOL)                      \
	X(t, run_as, REGROLEOID, OID_OR_NULL)               \
	X(t, search_path, TEXTOID, TEXT)                    \
	X(t, description, TEXTOID, TEXT)                    \
	X(t, version, TEXTOID, TEXT)                        \
	X(t, also_external, BOOLOID, BOOL)                  \
	X(t, queue, TEXTOID, TEXT)                          \
	X(t, priority, INT4OID, INT32_OR_NULL)              \
	X(t, max_attempts, INT4OID, INT32_OR_NULL)          \
	X(t, timeout, INTERVALOID, MICROSECONDS)            \
	X(t, lease, INTERVALOID, MICROSECONDS)              \
	X(t, retry_policy, TEXTOID, TEXT)                   \
	X(t, retry_base, INTERVALOID, MICROSECONDS)         \
	X(t, retry_cap, INTERVALOID, MICROSECONDS)          \
	X(t, registered_by, REGROLEOID, OID)                \
	X(t, registered_at, TIMESTAMPTZOID, TIME)           \
	X(t, permanent_errors, TEXTARRAYOID, NAMES)         \
	X(t, retryable_errors, TEXTARRAYOID, NAMES)         \
	X(t, paused, BOOLOID, BOOL)                         \
	X(t, share_commit, BOOLOID, BOOL)                   \
	X(t, payload_type, TEXTOID, TEXT)                   \
	X(t, payload_type_oid, OIDOID, OID_OR_NULL)         \
	X(t, required_fields, JSONBOID, JSON)               \
	X(t, optional_fields, JSONBOID, JSON)               \
	X(t, validator, TEXTOID, TEXT)                      \
	X(t, validator_oid, OIDOID, OID_OR_NULL)            \
	X(t, lock_timeout, INTERVALOID, MICROSECONDS)       \
	X(t, retry_function, TEXTOID, TEXT)                 \
	X(t, retry_function_oid, OIDOID, OID_OR_NULL)       \
	X(t, stepwise, BOOLOID, BOOL)                       \
	X(t, function_owner, REGROLEOID, OID_OR_NULL)       \
	X(t, payload_type_owner, REGROLEOID, OID_OR_NULL)   \
	X(t, validator_owner, REGROLEOID, OID_OR_NULL)      \
	X(t, retry_function_owner, REGROLEOID, OID_OR_NULL) \
	X(t, paused_because, TEXTOID, TEXT)                 \
	X(t, paused_function, TEXTOID, TEXT)                \
	X(t, trial_at, TIMESTAMPTZOID, TIME_OR_NULL)        \
	X(t, trials, INT4OID, INT32)                        \
	X(t, on_trial, BOOLOID, BOOL)                       \
	X(t, async_commit, BOOLOID, BOOL)

#define POOL_DEFS_COLUMNS(X, t)                    \
	X(t, pool, TEXTOID, TEXT)                      \
	X(t, role, REGROLEOID, OID)                    \
	X(t, size, INT4OID, INT32)                     \
	X(t, min_size, INT4OID, INT32)                 \
	X(t, task_types, TEXTARRAYOID, NAMES)          \
	X(t, queues, TEXTARRAYOID, NAMES)              \
	X(t, capabilities, TEXTARRAYOID, NAMES)        \
	X(t, paused, BOOLOID, BOOL)                    \
	X(t, created_at, TIMESTAMPTZOID, TIME)         \
	X(t, paused_because, TEXTOID, TEXT)            \
	X(t, crashed_at, TIMESTAMPTZARRAYOID, VARLENA) \
	X(t, tenants, TEXTARRAYOID, NAMES)             \
	X(t, queue_weights, JSONBOID, JSON)

#define EXTERNAL_WORKERS_COLUMNS(X, t)                \
	X(t, worker_id, TEXTOID, TEXT)                    \
	X(t, task_types, TEXTARRAYOID, NAMES)             \
	X(t, queues, TEXTARRAYOID, NAMES)                 \
	X(t, capabilities, TEXTARRAYOID, NAMES)           \
	X(t, max_concurrent_jobs, INT4OID, INT32_OR_NULL) \
	X(t, lease, INTERVALOID, MICROSECONDS)            \
	X(t, implicit, BOOLOID, BOOL)                     \
	X(t, draining, BOOLOID, BOOL)                     \
	X(t, registered_by, REGROLEOID, OID)              \
	X(t, registered_at, TIMESTAMPTZOID, TIME)         \
	X(t, last_seen, TIMESTAMPTZOID, TIME)             \
	X(t, ended_at, TIMESTAMPTZOID, TIME_OR_NULL)      \
	X(t, instance_id, TEXTOID, TEXT)                  \
	X(t, tenants, TEXTARRAYOID, NAMES)                \
	X(t, queue_weights, JSONBOID, JSON)

#define BOUND_TENANTS_COLUMNS(X, t) \
	X(t, tenant_id, TEXTOID, TEXT)  \
	X(t, bound_at, TIMESTAMPTZOID, TIME)

#define CANCEL_REQUESTS_COLUMNS(X, t) \
	X(t, request_id, INT8OID)         \
	X(t, job_id, INT8OID)             \
	X(t, reason, TEXTOID)             \
	X(t, requested_at, TIMESTAMPTZOID)

#define INSTALLATION_COLUMNS(X, t)   \
	X(t, installation_id, UUIDOID)   \
	X(t, system_identifier, INT8OID) \
	X(t, database_oid, OIDOID)       \
	X(t, database_name, TEXTOID)     \
	X(t, adopted_at, TIMESTAMPTZOID) \
	X(t, roles_from, TIMESTAMPTZOID)

#define EVENT_LOG_COLUMNS(X, t)            \
	X(t, event_id, INT8OID, INT64)         \
	X(t, job_id, INT8OID, INT64)           \
	X(t, epoch, INT8OID, INT64_OR_NULL)    \
	X(t, at, TIMESTAMPTZOID, TIME)         \
	X(t, expires_on, DATEOID, DATE)        \
	X(t, attempt, INT4OID, INT32)          \
	X(t, event, TEXTOID, TEXT)             \
	X(t, task_type, TEXTOID, TEXT)         \
	X(t, queue, TEXTOID, TEXT)             \
	X(t, tenant_id, TEXTOID, VARLENA)      \
	X(t, correlation_id, TEXTOID, VARLENA) \
	X(t, worker_id, TEXTOID, VARLENA)      \
	X(t, error_type, TEXTOID, TEXT)        \
	X(t, error_code, TEXTOID, VARLENA)     \
	X(t, error_message, TEXTOID, VARLENA)  \
	X(t, result, JSONBOID, VARLENA)        \
	X(t, metadata, JSONBOID, VARLENA)

#define FRAME_LOG_COLUMNS(X, t)    \
	X(t, job_id, INT8OID, INT64)   \
	X(t, epoch, INT8OID, INT64)    \
	X(t, frame, INT4OID, INT32)    \
	X(t, attempt, INT4OID, INT32)  \
	X(t, at, TIMESTAMPTZOID, TIME) \
	X(t, level, TEXTOID, TEXT)     \
	X(t, sqlstate, TEXTOID, TEXT)  \
	X(t, message, TEXTOID, TEXT)

#define ACCESS_GRANTS_COLUMNS(X, t) \
	X(t, role, REGROLEOID)          \
	X(t, access, TEXTOID)           \
	X(t, tenants, TEXTARRAYOID)

#define ACCESS_RIGHTS_COLUMNS(X, t) \
	X(t, access, TEXTOID)           \
	X(t, object, TEXTOID)

#define HANDLER_CHANGES_COLUMNS(X, t)   \
	X(t, change_id, INT8OID)            \
	X(t, task_type, TEXTOID)            \
	X(t, handler, TEXTOID)              \
	X(t, run_as, TEXTOID)               \
	X(t, description, TEXTOID)          \
	X(t, version, TEXTOID)              \
	X(t, registered_by, TEXTOID)        \
	X(t, registered_at, TIMESTAMPTZOID) \
	X(t, change, TEXTOID)               \
	X(t, changed_by, TEXTOID)           \
	X(t, changed_at, TIMESTAMPTZOID)    \
	X(t, payload_type, TEXTOID)         \
	X(t, required_fields, JSONBOID)     \
	X(t, optional_fields, JSONBOID)     \
	X(t, validator, TEXTOID)            \
	X(t, retry_function, TEXTOID)

#define LIMIT_DEFS_COLUMNS(X, t)                  \
	X(t, limit_id, INT4OID, INT32)                \
	X(t, name, TEXTOID, TEXT)                     \
	X(t, queue, TEXTOID, TEXT)                    \
	X(t, task_type, TEXTOID, TEXT)                \
	X(t, concurrency, INT4OID, INT32_OR_NONE)     \
	X(t, description, TEXTOID, TEXT)              \
	X(t, changed_by, TEXTOID, TEXT)               \
	X(t, changed_at, TIMESTAMPTZOID, TIME)        \
	X(t, rate, INT4OID, INT32_OR_NULL)            \
	X(t, per, INTERVALOID, MICROSECONDS)          \
	X(t, burst, INT4OID, INT32_OR_NULL)           \
	X(t, quota, INT4OID, INT32_OR_NULL)           \
	X(t, quota_window, INTERVALOID, MICROSECONDS) \
	X(t, tenant_id, TEXTOID, TEXT)                \
	X(t, for_each, TEXTARRAYOID, NAMES)           \
	X(t, overrides, JSONBOID, JSON)

#define LIMIT_STARTS_COLUMNS(X, t) \
	X(t, limit_id, INT4OID)        \
	X(t, tenant_id, TEXTOID)       \
	X(t, group_key, TEXTOID)       \
	X(t, tokens, INT8OID)          \
	X(t, reserved, INT8OID)        \
	X(t, part_length, INT8OID)     \
	X(t, used, INT4ARRAYOID)       \
	X(t, stored_at, TIMESTAMPTZOID)

#define BUDGET_DEFS_COLUMNS(X, t)                   \
	X(t, budget_id, INT4OID, INT32)                 \
	X(t, budget, TEXTOID, TEXT)                     \
	X(t, soft, NUMERICOID, VARLENA)                 \
	X(t, hard, NUMERICOID, VARLENA)                 \
	X(t, added, NUMERICOID, VARLENA)                \
	X(t, on_exceeded, TEXTOID, TEXT)                \
	X(t, period_no, INT4OID, INT32)                 \
	X(t, started_at, TIMESTAMPTZOID, TIME)          \
	X(t, period, INTERVALOID, INTERVAL)             \
	X(t, period_from, TIMESTAMPTZOID, TIME_OR_NULL) \
	X(t, resets_at, TIMESTAMPTZOID, TIME_OR_NULL)   \
	X(t, description, TEXTOID, TEXT)                \
	X(t, changed_by, TEXTOID, TEXT)                 \
	X(t, changed_at, TIMESTAMPTZOID, TIME)

#define BUDGET_PERIODS_COLUMNS(X, t) \
	X(t, budget_id, INT4OID)         \
	X(t, period_no, INT4OID)         \
	X(t, budget, TEXTOID)            \
	X(t, started_at, TIMESTAMPTZOID) \
	X(t, ended_at, TIMESTAMPTZOID)   \
	X(t, soft, NUMERICOID)           \
	X(t, hard, NUMERICOID)           \
	X(t, added, NUMERICOID)

#define BUDGET_TOTALS_COLUMNS(X, t) \
	X(t, budget_id, INT4OID)        \
	X(t, period_no, INT4OID)        \
	X(t, used, NUMERICOID)          \
	X(t, reports, INT8OID)

#define BUDGET_REPORTS_COLUMNS(X, t) \
	X(t, job_id, INT8OID)            \
	X(t, budget_id, INT4OID)         \
	X(t, usage_key, TEXTOID)         \
	X(t, amount, NUMERICOID)         \
	X(t, period_no, INT4OID)         \
	X(t, epoch, INT8OID)             \
	X(t, attempt, INT4OID)           \
	X(t, overrun, BOOLOID)           \
	X(t, gate, CHAROID)              \
	X(t, reported_at, TIMESTAMPTZOID)

/* Anum_<table>_<column>, from 1; the last is followed by Anum_<table>_end */
#define COLUMN_NUMBER(t, column, ...) Anum_##t##_##column,
#define NUMBER_COLUMNS(t, LIST) \
	enum                        \
	{                           \
		Anum_##t##_none,        \
		LIST(COLUMN_NUMBER, t)  \
		Anum_##t##_end          \
	}

NUMBER_COLUMNS(jobs, JOBS_COLUMNS);
NUMBER_COLUMNS(job_history, JOB_HISTORY_COLUMNS);
NUMBER_COLUMNS(attempt_failures, ATTEMPT_FAILURES_COLUMNS);
NUMBER_COLUMNS(routes, ROUTES_COLUMNS);
NUMBER_COLUMNS(queue_defs, QUEUE_DEFS_COLUMNS);
NUMBER_COLUMNS(handlers, HANDLERS_COLUMNS);
NUMBER_COLUMNS(pool_defs, POOL_DEFS_COLUMNS);
NUMBER_COLUMNS(external_workers, EXTERNAL_WORKERS_COLUMNS);
NUMBER_COLUMNS(cancel_requests, CANCEL_REQUESTS_COLUMNS);
NUMBER_COLUMNS(installation, INSTALLATION_COLUMNS);
NUMBER_COLUMNS(event_log, EVENT_LOG_COLUMNS);
NUMBER_COLUMNS(frame_log, FRAME_LOG_COLUMNS);
NUMBER_COLUMNS(access_grants, ACCESS_GRANTS_COLUMNS);
NUMBER_COLUMNS(access_rights, ACCESS_RIGHTS_COLUMNS);
NUMBER_COLUMNS(handler_changes, HANDLER_CHANGES_COLUMNS);
NUMBER_COLUMNS(limit_defs, LIMIT_DEFS_COLUMNS);
NUMBER_COLUMNS(limit_starts, LIMIT_STARTS_COLUMNS);
NUMBER_COLUMNS(budget_defs, BUDGET_DEFS_COLUMNS);
NUMBER_COLUMNS(budget_periods, BUDGET_PERIODS_COLUMNS);
NUMBER_COLUMNS(budget_totals, BUDGET_TOTALS_COLUMNS);
NUMBER_COLUMNS(budget_reports, BUDGET_REPORTS_COLUMNS);
NUMBER_COLUMNS(bound_tenants, BOUND_TENANTS_COLUMNS);

/* The types of a list's columns, in an initializer. */
#define COLUMN_TYPE(t, column, type, ...) type,

extern int ColumnsCount(TaskqRel rel);
extern int ColumnsFirstOther(TaskqRel rel, TupleDesc desc);

#endif /* TASKQ_COLUMNS_H */
