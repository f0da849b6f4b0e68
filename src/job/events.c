/*
 * events.c
 *	  The log of events: one row for each event, written by the transaction that
 *	  causes it.
 *
 * Events are recorded only if the job's queue asks for it.  Rows are only inserted,
 * never moved, and removed by dropping partitions (leaf.c).  So a replication slot
 * sees each event once.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/json.h"
#include "base/text.h"
#include "config/queue.h"
#include "config/route.h"
#include "job/attempt.h"
#include "job/event_position.h"
#include "job/events.h"
#include "job/job_batch.h"
#include "shared/wake.h"
#include "store/leaf.h"
#include "store/row.h"

#define KEPT_METADATA 512

const LeafTable events_table = {
	.name = "event_log",
	.parent = REL_EVENTS,
	.overflow = REL_EVENTS_OVERFLOW,
	.key = "event_id",
	.index = "job_id, event_id",
};

/* rows --------------------------------------------------------------------- */

/* An event to be written. */
typedef struct Event
{
	const char	   *name;
	const TaskqJob *job;
	JobBatch	   *batch; /* gathers the event; NULL: it is written at once */
	TimestampTz		now;
	bool			enqueued;
	bool			ended;		/* the event ends a run */
	TimestampTz		started_at; /* start of the run, or 0 if unknown */
	struct varlena *worker_id;	/* worker of the run, or NULL */
	struct varlena *result;
	struct varlena *progress;
	struct varlena *error_message;
} Event;

static void
AddTime(StringInfo json, const char *key, TimestampTz moment)
{
	char text[MAXDATELEN + 1];

	JsonAddText(json, key, JsonEncodeDateTime(text, TimestampTzGetDatum(moment), TIMESTAMPTZOID, NULL));
}

static void
AddEnqueued(StringInfo json, const TaskqJob *job)
{
	JsonAddInt(json, "priority", job->priority);
	JsonAddInt(json, "max_attempts", job->max_attempts);
	if (job->group_key != NULL)
		JsonAddText(json, "group_key", TextDatumGetCString(PointerGetDatum(job->group_key)));
	if (job->tags != NULL)
		JsonAddRaw(json, "tags", TextDatumGetCString(DirectFunctionCall1(array_to_json, PointerGetDatum(job->tags))));
}

/*
 * Return an object that was built.  Jobs that are enqueued together have the same, so the
 * last one is kept, unless it is large.  The result is valid until the next call.
 */
static Jsonb *
EndMetadata(StringInfo json)
{
	static char	  text[KEPT_METADATA];
	static Jsonb *kept = NULL;
	Jsonb		 *made;

	if (kept != NULL && strcmp(text, json->data) == 0)
		return kept;
	if (json->len >= KEPT_METADATA)
		return JsonEnd(json);
	if (kept != NULL)
		pfree(kept);
	kept = NULL;
	strlcpy(text, json->data, KEPT_METADATA);
	made = JsonEnd(json);
	kept = MemoryContextAlloc(TopMemoryContext, VARSIZE(made));
	memcpy(kept, made, VARSIZE(made));
	return kept;
}

/* Build the metadata of an event, which differ from event to event. */
static Jsonb *
Metadata(const Event *event)
{
	const TaskqJob *job = event->job;
	StringInfoData	json;

	JsonBegin(&json);
	JsonAddText(&json, "state", JobStateName(job));
	if (event->enqueued)
		AddEnqueued(&json, job);
	if (job->state == JOB_AVAILABLE || job->state == JOB_RETRYABLE)
		AddTime(&json, "run_at", job->run_at);
	if (job->state == JOB_RUNNING && job->lease_expires_at != 0)
		AddTime(&json, "lease_expires_at", job->lease_expires_at);
	if (event->ended)
	{
		if (event->started_at != 0)
			AddTime(&json, "started_at", event->started_at);
		JsonAddText(&json, "handler_version", AttemptHandlerVersion(job));
	}
	if (event->ended && job->failure != NULL)
	{
		JsonAddText(&json, "outcome", job->failure->outcome);
		JsonAddText(&json, "sqlstate", job->failure->sqlstate);
	}
	JsonAddJsonb(&json, "progress", event->progress);
	return EndMetadata(&json);
}

static void
Write(const Event *event)
{
	const TaskqJob	 *job = event->job;
	const TaskqRoute *route = RouteById(job->route_id);
	bool			  failed = event->error_message != NULL && job->failure != NULL;
	int64			  retention = QueueById(route->queue_id)->retain_events;
	EventRow		  row = {
				 .job_id = job->job_id,
				 .epoch = job->epoch,
				 .at = event->now,
				 .attempt = job->attempt,
				 .event = (char *) event->name,
				 .task_type = (char *) route->task_type,
				 .queue = (char *) route->queue,
				 .tenant_id = job->tenant_id,
				 .correlation_id = job->correlation_id,
				 .worker_id = event->worker_id,
				 .error_type = failed ? (char *) job->failure->error_type : NULL,
				 .error_code = failed ? ErrorText(job->failure->error_code) : NULL,
				 .error_message = event->error_message,
				 .result = event->result,
				 .metadata = (struct varlena *) Metadata(event),
	};

	if (event->batch != NULL)
	{
		Store *gathering = LeafBatchFor(&event->batch->events, &events_table, event->now, retention, &row.expires_on);

		row.event_id = EventNextId();
		RowWriteEvent(&row, StoreNewRow(gathering));
		if (StoreGather(gathering))
			StoreInsertGathered(gathering, NULL);
	}
	else
	{
		Store leaf;

		LeafOpenForRow(&leaf, &events_table, event->now, retention, &row.expires_on);
		row.event_id = EventNextId();
		RowWriteEvent(&row, StoreNewRow(&leaf));
		StoreInsert(&leaf);
		StoreClose(&leaf, true);
	}
	WakeForEvents();
}

/* which events ------------------------------------------------------------- */

/* Return the event for the outcome of a run. */
static const char *
EventOfOutcome(char outcome)
{
	switch (outcome)
	{
		case OUTCOME_COMPLETED:
			return "completed";
		case OUTCOME_FAILED:
			return "failed";
		case OUTCOME_RELEASED:
			return "released";
		case OUTCOME_SNOOZED:
			return "snoozed";
		case OUTCOME_EXPIRED:
			return "expired";
		case OUTCOME_CANCELLED:
			return "cancelled";
		case OUTCOME_TERMINATED:
			return "terminated";
		case OUTCOME_CRASHED:
			return "crashed";
	}
	return NULL;
}

/* Return the event for the new state, or NULL if the state adds nothing to the outcome. */
static const char *
EventOfState(const TaskqJob *job, char from)
{
	switch (job->state)
	{
		case JOB_AVAILABLE:
		case JOB_RETRYABLE:
			return from == JOB_RUNNING || from == JOB_NEW ? NULL : "retried";
		case JOB_RUNNING:
			return "claimed";
	}
	return JobStateName(job);
}

/* Does the job's queue record events?  The first test is cheap if no queue does. */
static bool
IsRecorded(const TaskqJob *job)
{
	return QueueAnyEvents() && QueueById(RouteById(job->route_id)->queue_id)->events;
}

/* Observer of transitions: record a change of a job's state. */
void
EventObserve(const Transition *transition)
{
	const TaskqJob *job = transition->job;
	char			from = transition->from;
	const char	   *state;
	Event			event = {
				  .job = job,
				  .batch = transition->batch,
				  .now = transition->now,
				  .started_at = transition->started_at,
				  .worker_id = transition->worker_id,
	};

	if (!IsRecorded(job))
		return;
	if (from == JOB_NEW)
	{
		event.name = "enqueued";
		event.enqueued = true;
		Write(&event);
		event.enqueued = false;
	}
	if (from == JOB_RUNNING && EventOfOutcome(job->last_outcome) != NULL)
	{
		event.name = EventOfOutcome(job->last_outcome);
		event.ended = true;
		event.result = transition->result;
		if (job->failure != NULL)
			event.error_message = ErrorText(job->failure->message);
		else if (job->state == JOB_CANCELLED)
			event.error_message = job->last_error;
		Write(&event);
	}
	state = EventOfState(job, from);
	if (state != NULL && (event.name == NULL || strcmp(state, event.name) != 0))
	{
		event.name = state;
		event.ended = from == JOB_RUNNING;
		event.result = NULL;
		event.error_message = JobEnded(job->state) ? job->last_error : NULL;
		Write(&event);
	}
}

/* Record the progress that a running job reports. */
void
EventRecordProgress(const TaskqJob *job, TimestampTz now)
{
	Event event = {
		.name = "progressed",
		.job = job,
		.now = now,
		.progress = job->progress,
		.worker_id = job->worker_id,
	};

	if (IsRecorded(job))
		Write(&event);
}

TimestampTz
EventTimeOfRow(TupleTableSlot *slot)
{
	return DatumGetTimestampTz(SlotDatum(slot, Anum_event_log_at));
}
