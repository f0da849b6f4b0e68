/*
 * taskq.h
 *	  The vocabulary: words that every other file uses in one meaning only.
 *
 * A job is one unit of work, a row.  Its task type names the handler that runs
 * it.  A worker claims jobs; a claim gives the job an epoch, larger at each
 * claim and never given out twice, and (outside the server) a lease.  An
 * attempt is one run of a job that ended by its own doing.  To settle a claimed
 * job is to give it its outcome.  A route is (queue, task type, required
 * capabilities): workers look for jobs route by route.
 *
 * No prototypes here: each .c file has a header of its own.
 */
#ifndef TASKQ_H
#define TASKQ_H

#include "postgres.h"

#include "base/compat_assert.h"

#define TASKQ_SCHEMA "taskq"
#define TASKQ_NAME_MAX 63	/* bytes of a task type, queue, worker, ... */
#define TASKQ_LABEL_MAX 255 /* bytes of a tag, capability, correlation id */
#define TASKQ_TEXT_MAX 4096 /* bytes of a description, reason, search_path, pattern */
#define TASKQ_ID_BITS 48	/* of a job_id and of an epoch; above: node, timeline */
#define TASKQ_ID_MASK ((INT64CONST(1) << TASKQ_ID_BITS) - 1)

#define TASKQ_DEFAULT_QUEUE_ID 1
#define TASKQ_DEFAULT_QUEUE "default"
#define TASKQ_DEFAULT_MAX_ATTEMPTS 20
#define TASKQ_MAX_MAX_ATTEMPTS 1000000
#define TASKQ_MAX_BATCH 10000	  /* jobs a claim_jobs() call may ask for */
#define TASKQ_PIECE 50			  /* subtransactions in a transaction: every snapshot knows 64 */
#define TASKQ_MAX_ERROR_TEXT 4096 /* bytes kept of an error's message and so on */

/*
 * States as stored.  'scheduled' is shown for an available job whose run_at is
 * ahead; nothing is written when a job becomes due.  job/transition.c holds the
 * table of legal transitions, and is the only writer of states.
 */
#define JOB_NEW 'n'
#define JOB_AVAILABLE 'a'
#define JOB_RETRYABLE 't'
#define JOB_RUNNING 'r'
#define JOB_COMPLETED 'c'
#define JOB_DISCARDED 'd'
#define JOB_CANCELLED 'x'
#define JOB_QUARANTINED 'q'

/* A gate says which partial index holds the row; it follows from the state. */
#define GATE_OPEN 'o'
#define GATE_RUNNING 'r'

/* How the run of an epoch ended.  A repeated settle is told apart by it. */
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
