/*
 * taskq.h
 *	  The vocabulary: words that every other file uses in one meaning only.
 *
 * A job is one unit of work, and is stored as one row.  Its task type is a name for
 * which a handler is registered, the code that runs the job.
 *
 * A worker is a process that claims jobs and runs them: a background worker of the
 * server, or an external worker, which is a program that calls taskq's functions.
 * Each claim has an epoch, a number that is given out only once and is higher than
 * those of all earlier claims.  The claim of an external worker also has a lease; it
 * ends at a certain time unless the worker extends it by a heartbeat.
 *
 * A run is the execution of a job under one claim.  To settle a claim is to record
 * the outcome of its run.  An attempt is a run that counts towards max_attempts.  A
 * run does not count if the job is given back, for example because it was released or
 * snoozed.
 *
 * A route is a combination of queue, task type, required capabilities and minimum
 * version.  Each job has a route, and workers look for jobs route by route.
 *
 * This file has no prototypes, because each .c file has a header of its own.
 */
#ifndef TASKQ_H
#define TASKQ_H

#include "postgres.h"

#include "base/compat_assert.h"

#define TASKQ_SCHEMA "taskq"
#define TASKQ_NAME_MAX 63	/* bytes of a task type, queue, worker, ... */
#define TASKQ_LABEL_MAX 255 /* bytes of a tag, capability, correlation id */
#define TASKQ_MAX_TAGS 100	/* tags of a job, capabilities of a job, pool or worker */
#define TASKQ_TEXT_MAX 4096 /* bytes of a description, reason, search_path, pattern */
#define TASKQ_ID_BITS 48	/* the low bits of a job_id and an epoch; the others are the node and the timeline */
#define TASKQ_ID_MASK ((INT64CONST(1) << TASKQ_ID_BITS) - 1)

#define TASKQ_DEFAULT_QUEUE_ID 1
#define TASKQ_DEFAULT_QUEUE "default"
#define TASKQ_DEFAULT_MAX_ATTEMPTS 20
#define TASKQ_MAX_MAX_ATTEMPTS 1000000
#define TASKQ_MAX_IDS 100000	  /* the most ids in an argument, as many as a worker can have jobs by max_concurrent_jobs */
#define TASKQ_MAX_BATCH 10000	  /* the most jobs that one call of claim_jobs() may ask for */
#define TASKQ_PIECE 50			  /* the most subtransactions of one transaction; a snapshot lists up to 64 */
#define TASKQ_MAX_ERROR_TEXT 4096 /* bytes that are kept of each text of an error */

/*
 * States as they are stored.  An available job whose run_at is in the future is shown
 * as "scheduled"; nothing is written when it becomes due.  job/transition.c has the
 * table of the transitions that are allowed, and no other file changes a state.
 */
#define JOB_NEW 'n'
#define JOB_AVAILABLE 'a'
#define JOB_RETRYABLE 't'
#define JOB_RUNNING 'r'
#define JOB_COMPLETED 'c'
#define JOB_DISCARDED 'd'
#define JOB_CANCELLED 'x'
#define JOB_QUARANTINED 'q'

/* The gate of a live job, which follows from its state.  Each partial index of jobs holds the rows of one gate. */
#define GATE_OPEN 'o'
#define GATE_LANE 'l' /* open, in a lane of its route */
#define GATE_RUNNING 'r'

/* The outcome of a job's last run.  It also shows whether a call repeats an earlier settle of the same claim. */
#define OUTCOME_NONE '\0'
#define OUTCOME_COMPLETED 'c'
#define OUTCOME_FAILED 'f'
#define OUTCOME_RELEASED 'l'
#define OUTCOME_SNOOZED 'z'
#define OUTCOME_EXPIRED 'e'
#define OUTCOME_CANCELLED 'x'
#define OUTCOME_TERMINATED 't'
#define OUTCOME_CRASHED 'k'

#endif /* TASKQ_H */
