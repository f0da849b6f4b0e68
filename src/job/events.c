/*
 * events.c
 *	  What happened to jobs: one row an event, in the transaction that did it.
 *
 * Off unless the job's queue says otherwise.  Rows are only ever inserted, never
 * moved, and pruned by dropping leaves (leaf.c), so a replication slot sees each
 * of them once.
 *
 * An event_id is a position in the log, and readers go on from the last one they
 * got.  They must not pass over a transaction that commits later with a lower
 * id.  So whoever writes events first draws a number, locks it until the end of
 * the transaction, and then draws its ids, which are larger.  A reader looks
 * first at the last id given out, then at the locked numbers, then at the rows
 * (EventHorizon()): whose lock it does not meet has ended, and can be seen, or
 * draws ids beyond.  Locks follow subtransactions, stay with a prepared
 * transaction and come back with it after a crash.
 */
#include "taskq.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "config/queue.h"
#include "config/route.h"
#include "job/events.h"
#include "job/history.h"
#include "shared/locks.h"
#include "shared/wake.h"
#include "store/leaf.h"
#include "store/owner.h"
#include "store/store.h"

/* Columns of taskq.event_log, in order. */
enum
{
	E_EVENT_ID = 1,
	E_JOB_ID,
	E_EPOCH,
	E_AT,
	E_EXPIRES_ON,
	E_ATTEMPT,
	E_EVENT,
	E_TASK_TYPE,
	E_QUEUE,
	E_TENANT_ID,
	E_CORRELATION_ID,
	E_WORKER_ID,
	E_ERROR_TYPE,
	E_ERROR_CODE,
	E_ERROR_MESSAGE,
	E_RESULT,
	E_METADATA
};

static const LeafTable events = {
	.name = "event_log",
	.parent = REL_EVENTS,
	.overflow = REL_EVENTS_OVERFLOW,
	.key = "event_id",
	.index = "job_id, event_id",
};

/* positions ---------------------------------------------------------------- */

/*
 * The next position.  The first one on a timeline jumps beyond all that the old
 * primary can have given out: its last ones may never have come here.
 */
static int64
NextPosition(void)
{
	int64 least = (int64) (GetWALInsertionTimeLine() - 1) << TASKQ_ID_BITS;
	int64 position = StoreNextId(REL_EVENT_ID_SEQ);

	if (position >= least)
		return position;
	(void) LockKey(LOCK_EVENT_TIMELINE, 0, true, true);
	position = StoreNextId(REL_EVENT_ID_SEQ);
	if (position < least)
	{
		StoreSetId(REL_EVENT_ID_SEQ, least);
		position = StoreNextId(REL_EVENT_ID_SEQ);
	}
	UnlockKey(LOCK_EVENT_TIMELINE, 0, true);
	return position;
}

/* The next event's id; readers wait at the number locked below it. */
static int64
NextEventId(void)
{
	static int64 locked = 0;

	/* not of this transaction, or of a savepoint that was rolled back */
	if (locked == 0 || !LockKeyIsHeld(LOCK_EVENTS, locked))
	{
		locked = NextPosition();
		(void) LockKey(LOCK_EVENTS, locked, false, true);
	}
	return NextPosition();
}

/*
 * Up to which position the log can be read, by a snapshot that is taken
 * afterwards: nobody will commit an event there any more.  What is given out
 * here is never given out again, not even after a crash.
 */
int64
EventHorizon(int64 after)
{
	int64  last = StoreLastId(REL_EVENT_ID_SEQ);
	uint64 locked;

	if (last <= after)
		return after;
	pg_memory_barrier();
	locked = LockLeastKey(LOCK_EVENTS);
	return Min((uint64) last, locked);
}

/* rows --------------------------------------------------------------------- */

/* An event to be written. */
typedef struct Event
{
	const char	   *name;
	const TaskqJob *job;
	TimestampTz		now;
	bool			enqueued;
	bool			ended; /* a run */
	struct varlena *result;
	struct varlena *progress;
	struct varlena *error_message;
} Event;

static void
AddTime(StringInfo json, const char *key, TimestampTz moment)
{
	char text[MAXDATELEN + 1];

	JsonEncodeDateTime(text, TimestampTzGetDatum(moment), TIMESTAMPTZOID, NULL);
	appendStringInfo(json, ", \"%s\": \"%s\"", key, text);
}

static void
AddText(StringInfo json, const char *key, const char *text)
{
	if (text == NULL)
		return;
	appendStringInfo(json, ", \"%s\": ", key);
	escape_json(json, text);
}

static void
AddEnqueued(StringInfo json, const TaskqJob *job)
{
	appendStringInfo(json, ", \"priority\": %d, \"max_attempts\": %d", job->priority, job->max_attempts);
	if (job->group_key != NULL)
		AddText(json, "group_key", TextDatumGetCString(PointerGetDatum(job->group_key)));
	if (job->tags != NULL)
		appendStringInfo(json, ", \"tags\": %s",
						 TextDatumGetCString(DirectFunctionCall1(array_to_json, PointerGetDatum(job->tags))));
}

/* What else there is to say, which differs from event to event. */
static Datum
Metadata(const Event *event)
{
	const TaskqJob *job = event->job;
	StringInfoData	json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"state\": \"%s\"", JobStateName(job));
	if (event->enqueued)
		AddEnqueued(&json, job);
	if (job->state == JOB_AVAILABLE || job->state == JOB_RETRYABLE)
		AddTime(&json, "run_at", job->run_at);
	if (job->state == JOB_RUNNING)
		AddTime(&json, "lease_expires_at", job->lease_expires_at);
	if (event->ended)
	{
		if (job->started_at != 0)
			AddTime(&json, "started_at", job->started_at);
		AddText(&json, "handler_version", HistoryHandlerVersion(job));
	}
	if (event->ended && job->failure != NULL)
	{
		AddText(&json, "outcome", job->failure->outcome);
		AddText(&json, "sqlstate", job->failure->sqlstate);
	}
	if (event->progress != NULL)
		appendStringInfo(&json, ", \"progress\": %s",
						 DatumGetCString(DirectFunctionCall1(jsonb_out, PointerGetDatum(event->progress))));
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

static void
Write(const Event *event)
{
	const TaskqJob	 *job = event->job;
	const TaskqRoute *route = RouteById(job->route_id);
	Datum			  task_type = CStringGetTextDatum(route->task_type);
	Datum			  queue = CStringGetTextDatum(route->queue);
	Datum			  metadata = Metadata(event);
	DateADT			  expires_on;
	Store			  leaf;
	TupleTableSlot	 *row;

	LeafOpenForRow(&leaf, &events, event->now, QueueById(route->queue_id)->retain_events, &expires_on);
	row = StoreNewRow(&leaf);
	SlotSet(row, E_EVENT_ID, Int64GetDatum(NextEventId()));
	SlotSet(row, E_JOB_ID, Int64GetDatum(job->job_id));
	if (job->epoch != 0)
		SlotSet(row, E_EPOCH, Int64GetDatum(job->epoch));
	SlotSet(row, E_AT, TimestampTzGetDatum(event->now));
	SlotSet(row, E_EXPIRES_ON, DateADTGetDatum(expires_on));
	SlotSet(row, E_ATTEMPT, Int32GetDatum(job->attempt));
	SlotSetString(row, E_EVENT, event->name);
	SlotSet(row, E_TASK_TYPE, task_type);
	SlotSet(row, E_QUEUE, queue);
	SlotSetPointer(row, E_TENANT_ID, job->tenant_id);
	SlotSetPointer(row, E_CORRELATION_ID, job->correlation_id);
	SlotSetPointer(row, E_WORKER_ID, job->worker_id);
	if (event->error_message != NULL && job->failure != NULL)
	{
		SlotSetString(row, E_ERROR_TYPE, job->failure->error_type);
		SlotSetPointer(row, E_ERROR_CODE, ErrorText(job->failure->error_code));
	}
	SlotSetPointer(row, E_ERROR_MESSAGE, event->error_message);
	SlotSetPointer(row, E_RESULT, event->result);
	SlotSet(row, E_METADATA, metadata);
	StoreInsert(&leaf);
	StoreClose(&leaf, true);
	WakeForEvents();
}

/* which events ------------------------------------------------------------- */

/* How a run has ended. */
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

/* What the new state says, beyond how a run has ended. */
static const char *
EventOfState(const TaskqJob *job, char from)
{
	switch (job->state)
	{
		case JOB_AVAILABLE:
		case JOB_RETRYABLE:
			if (from == JOB_RUNNING || from == JOB_NEW)
				return NULL;
			if (from == JOB_BLOCKED)
				return "unblocked";
			return from == JOB_SUSPENDED ? "resumed" : "retried";
		case JOB_RUNNING:
			return "claimed";
		case JOB_BLOCKED:
		case JOB_SUSPENDED:
			return from == JOB_NEW ? NULL : JobStateName(job);
	}
	return JobStateName(job);
}

/* Does the job's queue record events?  With none that does, that is one look. */
static bool
IsRecorded(const TaskqJob *job)
{
	return QueueAnyEvents() && QueueById(RouteById(job->route_id)->queue_id)->events;
}

/*
 * Record a change of a job's state, which it has already.  The caller is the
 * owner; worker and start are still those of the run that ends.
 */
void
EventRecord(const TaskqJob *job, char from, struct varlena *result, TimestampTz now)
{
	Event		event = { .job = job, .now = now };
	const char *state;

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
		event.result = result;
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

/* Record what a running job says of its progress. */
void
EventRecordProgress(const TaskqJob *job, TimestampTz now)
{
	Event event = { .name = "progressed", .job = job, .now = now, .progress = job->progress };

	if (IsRecorded(job))
		Write(&event);
}

/* maintain ----------------------------------------------------------------- */

/* How long the queues keep their events; how many record any. */
static int
Retentions(int64 **retentions, int64 *longest)
{
	int count = QueueCount(); /* asked once: the next answer may be another */
	int n = 0;

	*retentions = palloc(sizeof(int64) * (count + 1));
	*longest = 0;
	for (int i = 0; i < count; i++)
	{
		const TaskqQueue *queue = QueueAt(i);

		*longest = Max(*longest, queue->retain_events);
		if (queue->events)
			(*retentions)[n++] = queue->retain_events;
	}
	return n;
}

/* Is there a row in the overflow leaf, and none that a queue still keeps? */
static bool
OverflowExpired(int64 longest)
{
	Snapshot snapshot = StoreSnapshot();
	Store	 leaf;
	bool	 expired;

	StoreOpenRel(&leaf, REL_EVENTS_OVERFLOW);
	expired = StoreFindLast(&leaf, RelationGetPrimaryKeyIndex_compat(leaf.rel), 0, NULL, snapshot) &&
			  DatumGetTimestampTz(SlotDatum(leaf.found, E_AT)) < ClockNow() - longest;
	StoreClose(&leaf, false);
	UnregisterSnapshot(snapshot);
	return expired;
}

/*
 * Housekeeping of the log, in the caller's transaction: make the leaves of today
 * and tomorrow, drop one that has expired.  Rows in the overflow leaf stay there,
 * and it is emptied as a whole: events are never moved.  Without "wait" it is left
 * to whoever does just that.
 */
void
EventMaintain(bool wait)
{
	OwnerScope scope;
	int64	  *retentions;
	int64	   longest;
	int		   n;
	char	  *expired;

	if (!LeafCare(wait))
		return;
	n = Retentions(&retentions, &longest);
	OwnerEnterSpi(&scope);
	for (int i = 0; i < n; i++)
	{
		(void) LeafMake(&events, LeafDay(ClockNow(), retentions[i]));
		(void) LeafMake(&events, LeafDay(ClockNow() + USECS_PER_DAY, retentions[i]));
	}
	expired = LeafExpired(&events);
	if (expired != NULL)
		LeafDrop(&events, expired);
	if (OverflowExpired(longest) && LeafIsFree(&events, CatalogRel(REL_EVENTS_OVERFLOW)))
		OwnerExecute("TRUNCATE taskq.event_log_overflow", 0, NULL, NULL, NULL);
	OwnerLeaveSpi(&scope);
}
