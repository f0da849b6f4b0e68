/*
 * queue.c
 *	  Queues: named lines of jobs, which can be paused and have a retention.
 *
 * Queue 1, "default", is always there.  It has a row only once one of its
 * settings was changed: CREATE EXTENSION must make no row that a restore of a
 * dump would make again.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/clock.h"
#include "config/queue.h"
#include "store/catalog.h"
#include "store/leaf.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_create_queue);
PG_FUNCTION_INFO_V1(taskq_alter_queue);
PG_FUNCTION_INFO_V1(taskq_drop_queue);
PG_FUNCTION_INFO_V1(taskq_pause_queue);
PG_FUNCTION_INFO_V1(taskq_resume_queue);

/* Columns of taskq.queue_defs, in order. */
enum
{
	QUEUE_ID = 1,
	QUEUE_NAME,
	QUEUE_DESCRIPTION,
	QUEUE_PAUSED,
	QUEUE_KEEP_PAYLOAD,
	QUEUE_RETAIN_COMPLETED,
	QUEUE_RETAIN_OTHER,
	QUEUE_ON_UNHANDLED,
	QUEUE_CREATED_AT,
	QUEUE_EVENTS,
	QUEUE_RETAIN_EVENTS,
	QUEUE_VALIDATE_PAYLOADS
};

#define RETAIN_COMPLETED (7 * USECS_PER_DAY)
#define RETAIN_OTHER (30 * USECS_PER_DAY)
#define RETAIN_EVENTS (3 * USECS_PER_DAY)

static const char *const unhandled_names[] = {
	[UNHANDLED_WAIT] = "wait",
	[UNHANDLED_FAIL] = "fail",
	[UNHANDLED_REJECT] = "reject",
};

/* All queues, as of queues_version. */
static MemoryContext queues_context = NULL;
static TaskqQueue	*queues = NULL;
static int			 n_queues = 0;
static int			 max_queues = 0;
static bool			 any_events = false; /* of any of them are recorded */
static uint64		 queues_version = 0;

static TaskqQueue *
AddQueue(int32 queue_id, const char *name)
{
	TaskqQueue *queue;

	if (n_queues == max_queues)
	{
		max_queues = Max(16, max_queues * 2);
		if (queues == NULL)
			queues = MemoryContextAlloc(queues_context, max_queues * sizeof(TaskqQueue));
		else
			queues = repalloc(queues, max_queues * sizeof(TaskqQueue));
	}
	queue = &queues[n_queues++];
	memset(queue, 0, sizeof(*queue));
	queue->queue_id = queue_id;
	strlcpy(queue->name, name, sizeof(queue->name));
	queue->keep_payload = true;
	queue->validate_payloads = true;
	queue->retain_completed = RETAIN_COMPLETED;
	queue->retain_other = RETAIN_OTHER;
	queue->retain_events = RETAIN_EVENTS;
	return queue;
}

static bool
UnhandledByName(const char *name, OnUnhandled *on_unhandled)
{
	for (int i = 0; i < lengthof(unhandled_names); i++)
		if (strcmp(unhandled_names[i], name) == 0)
		{
			*on_unhandled = (OnUnhandled) i;
			return true;
		}
	return false;
}

static void
AddQueueOfRow(TupleTableSlot *slot, void *arg)
{
	TaskqQueue *queue = AddQueue(DatumGetInt32(SlotDatum(slot, QUEUE_ID)), SlotString(slot, QUEUE_NAME));

	queue->paused = DatumGetBool(SlotDatum(slot, QUEUE_PAUSED));
	queue->keep_payload = DatumGetBool(SlotDatum(slot, QUEUE_KEEP_PAYLOAD));
	if (!SlotIsNull(slot, QUEUE_RETAIN_COMPLETED))
		queue->retain_completed = IntervalMicroseconds(SlotPointer(slot, QUEUE_RETAIN_COMPLETED));
	if (!SlotIsNull(slot, QUEUE_RETAIN_OTHER))
		queue->retain_other = IntervalMicroseconds(SlotPointer(slot, QUEUE_RETAIN_OTHER));
	(void) UnhandledByName(SlotString(slot, QUEUE_ON_UNHANDLED), &queue->on_unhandled);
	queue->events = DatumGetBool(SlotDatum(slot, QUEUE_EVENTS));
	if (!SlotIsNull(slot, QUEUE_RETAIN_EVENTS))
		queue->retain_events = IntervalMicroseconds(SlotPointer(slot, QUEUE_RETAIN_EVENTS));
	queue->validate_payloads = DatumGetBool(SlotDatum(slot, QUEUE_VALIDATE_PAYLOADS));
	any_events = any_events || queue->events;
}

static void
LoadQueues(void)
{
	uint64 version = CatalogRegistryVersion();

	if (queues_version == version)
		return;
	queues_version = 0;
	CatalogRenew(&queues_context, "taskq queues");
	queues = NULL;
	n_queues = max_queues = 0;
	any_events = false;
	StoreScan(REL_QUEUES, AddQueueOfRow, NULL);
	for (int i = 0; i < n_queues; i++)
		if (queues[i].queue_id == TASKQ_DEFAULT_QUEUE_ID)
		{
			queues_version = version;
			return;
		}
	AddQueue(TASKQ_DEFAULT_QUEUE_ID, TASKQ_DEFAULT_QUEUE);
	queues_version = version;
}

const TaskqQueue *
QueueByName(const char *name, bool missing_ok)
{
	LoadQueues();
	for (int i = 0; i < n_queues; i++)
		if (strcmp(queues[i].name, name) == 0)
			return &queues[i];
	if (!missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", name),
				 errhint("Make it with taskq.create_queue('%s'), or see taskq.queues.", name)));
	return NULL;
}

/* A queue that a route points at.  Queues that routes point at are kept. */
const TaskqQueue *
QueueById(int32 queue_id)
{
	LoadQueues();
	for (int i = 0; i < n_queues; i++)
		if (queues[i].queue_id == queue_id)
			return &queues[i];
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("queue %d of a route does not exist", queue_id)));
}

int
QueueCount(void)
{
	LoadQueues();
	return n_queues;
}

/* Valid until the next look-up of a queue. */
const TaskqQueue *
QueueAt(int i)
{
	Assert(i >= 0 && i < n_queues);
	return &queues[i];
}

/* Does any queue record events? */
bool
QueueAnyEvents(void)
{
	LoadQueues();
	return any_events;
}

/* Names that are given for queues must be those of queues; NULL is fine. */
void
QueueCheckNames(ArrayType *names)
{
	Datum *values;
	int	   n;

	if (names == NULL)
		return;
	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
		QueueByName(TextDatumGetCString(values[i]), false);
}

/* on_unhandled as given, checked; NULL when it was not. */
static Datum
UnhandledArg(FunctionCallInfo fcinfo, int n, char *null)
{
	char	   *name = ArgNameOrNull(fcinfo, n, "on_unhandled");
	OnUnhandled on_unhandled;

	*null = name == NULL ? 'n' : ' ';
	if (name == NULL)
		return (Datum) 0;
	if (!UnhandledByName(name, &on_unhandled))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown on_unhandled \"%s\"", name),
				 errhint("Use wait, fail or reject.")));
	return CStringGetTextDatum(name);
}

/* What create_queue() and alter_queue() are given, in the order of their arguments. */
enum
{
	ARG_QUEUE,
	ARG_DESCRIPTION,
	ARG_RETAIN_COMPLETED,
	ARG_RETAIN_OTHER,
	ARG_KEEP_PAYLOAD,
	ARG_ON_UNHANDLED,
	ARG_EVENTS,
	ARG_RETAIN_EVENTS,
	ARG_VALIDATE_PAYLOADS,
	ARG_COUNT
};

static Oid queue_arg_types[] = { TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, BOOLOID, TEXTOID, BOOLOID, INTERVALOID, BOOLOID,
								 TIMESTAMPTZOID };

#define QUEUE_PARAMS lengthof(queue_arg_types) /* the arguments, and the time */

/* The arguments as parameters; retention goes by days, so any length will do. */
static char *
QueueParams(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	char *name;

	name = ArgName(fcinfo, ARG_QUEUE, "queue");
	(void) ArgMicroseconds(fcinfo, ARG_RETAIN_COMPLETED, "retain_completed", 0);
	(void) ArgMicroseconds(fcinfo, ARG_RETAIN_OTHER, "retain_other", 0);
	(void) ArgMicroseconds(fcinfo, ARG_RETAIN_EVENTS, "retain_events", 0);
	for (int i = 0; i < ARG_COUNT; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	values[ARG_ON_UNHANDLED] = UnhandledArg(fcinfo, ARG_ON_UNHANDLED, &nulls[ARG_ON_UNHANDLED]);
	values[ARG_COUNT] = TimestampTzGetDatum(ClockNow());
	nulls[ARG_COUNT] = ' ';
	return name;
}

/* Tell everybody; a queue that records events wants leaves for them. */
static void
QueueChanged(FunctionCallInfo fcinfo)
{
	CatalogChanged(REL_QUEUES);
	if (!PG_ARGISNULL(ARG_EVENTS) || !PG_ARGISNULL(ARG_RETAIN_EVENTS))
		LeafWant();
}

Datum
taskq_create_queue(PG_FUNCTION_ARGS)
{
	Datum	   values[QUEUE_PARAMS];
	char	   nulls[QUEUE_PARAMS];
	char	  *name;
	OwnerScope scope;

	CheckArgCount(fcinfo, ARG_COUNT);
	CheckWritable("taskq.create_queue()");
	name = QueueParams(fcinfo, values, nulls);
	(void) ArgBool(fcinfo, ARG_KEEP_PAYLOAD, "keep_payload");
	(void) ArgBool(fcinfo, ARG_EVENTS, "events");
	(void) ArgBool(fcinfo, ARG_VALIDATE_PAYLOADS, "validate_payloads");
	if (QueueByName(name, true) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("queue \"%s\" already exists", name),
				 errhint("Change it with taskq.alter_queue().")));

	OwnerEnterSpi(&scope);
	OwnerExecute("INSERT INTO taskq.queue_defs (queue, description, retain_completed, retain_other, keep_payload,"
				 " on_unhandled, events, retain_events, validate_payloads, created_at)"
				 " VALUES ($1, $2, $3, $4, $5, COALESCE($6, 'wait'), $7, $8, $9, $10)",
				 QUEUE_PARAMS, queue_arg_types, values, nulls);
	OwnerLeaveSpi(&scope);
	QueueChanged(fcinfo);
	PG_RETURN_VOID();
}

/* Give the default queue its row, before the first change. */
static void
KeepDefaultQueue(void)
{
	Oid	  types[] = { TIMESTAMPTZOID };
	Datum values[] = { TimestampTzGetDatum(ClockNow()) };

	OwnerExecute("INSERT INTO taskq.queue_defs (queue_id, queue, created_at)"
				 " VALUES (1, 'default', $1) ON CONFLICT (queue_id) DO NOTHING",
				 1, types, values, NULL);
}

Datum
taskq_alter_queue(PG_FUNCTION_ARGS)
{
	Datum	   values[QUEUE_PARAMS];
	char	   nulls[QUEUE_PARAMS];
	OwnerScope scope;

	CheckArgCount(fcinfo, ARG_COUNT);
	CheckWritable("taskq.alter_queue()");
	QueueByName(QueueParams(fcinfo, values, nulls), false);

	OwnerEnterSpi(&scope);
	KeepDefaultQueue();
	OwnerExecute("UPDATE taskq.queue_defs SET description = COALESCE($2, description),"
				 " retain_completed = COALESCE($3, retain_completed),"
				 " retain_other = COALESCE($4, retain_other),"
				 " keep_payload = COALESCE($5, keep_payload),"
				 " on_unhandled = COALESCE($6, on_unhandled),"
				 " events = COALESCE($7, events),"
				 " retain_events = COALESCE($8, retain_events),"
				 " validate_payloads = COALESCE($9, validate_payloads) WHERE queue = $1",
				 ARG_COUNT, queue_arg_types, values, nulls);
	OwnerLeaveSpi(&scope);
	QueueChanged(fcinfo);
	PG_RETURN_VOID();
}

Datum
taskq_drop_queue(PG_FUNCTION_ARGS)
{
	Oid				  types[] = { INT4OID };
	Datum			  values[1];
	char			 *name;
	const TaskqQueue *queue;
	OwnerScope		  scope;

	CheckArgCount(fcinfo, 1);
	CheckWritable("taskq.drop_queue()");
	name = ArgName(fcinfo, 0, "queue");
	queue = QueueByName(name, true);
	if (queue == NULL)
		PG_RETURN_BOOL(false);
	if (queue->queue_id == TASKQ_DEFAULT_QUEUE_ID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("queue \"%s\" cannot be dropped", name),
				 errhint("It can be paused with taskq.pause_queue().")));
	values[0] = Int32GetDatum(queue->queue_id);

	OwnerEnterSpi(&scope);

	/*
	 * Routes are what jobs and their history point at.  Once there is one, the
	 * name must stay; the lock keeps a first enqueue out until we commit.
	 */
	OwnerExecute("LOCK TABLE taskq.routes IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL, NULL);
	if (OwnerExecute("SELECT FROM taskq.routes WHERE queue_id = $1 LIMIT 1", 1, types, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("queue \"%s\" cannot be dropped because it has had jobs", name),
				 errdetail("Live and finished jobs show its name."),
				 errhint("Pause it with taskq.pause_queue().")));
	OwnerExecute("DELETE FROM taskq.queue_defs WHERE queue_id = $1", 1, types, values, NULL);
	OwnerLeaveSpi(&scope);
	CatalogChanged(REL_QUEUES);
	PG_RETURN_BOOL(true);
}

/* Set or clear "paused"; did that change anything? */
static bool
SetPaused(FunctionCallInfo fcinfo, bool paused, const char *what)
{
	Oid		   types[] = { TEXTOID, BOOLOID };
	Datum	   values[2];
	char	  *name;
	bool	   changed;
	OwnerScope scope;

	CheckArgCount(fcinfo, 1);
	CheckWritable(what);
	name = ArgName(fcinfo, 0, "queue");
	QueueByName(name, false);
	values[0] = CStringGetTextDatum(name);
	values[1] = BoolGetDatum(paused);

	OwnerEnterSpi(&scope);
	KeepDefaultQueue();
	changed = OwnerExecute("UPDATE taskq.queue_defs SET paused = $2 WHERE queue = $1 AND paused <> $2",
						   2, types, values, NULL) > 0;
	OwnerLeaveSpi(&scope);
	if (changed)
		CatalogChanged(REL_QUEUES);
	return changed;
}

Datum
taskq_pause_queue(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(SetPaused(fcinfo, true, "taskq.pause_queue()"));
}

Datum
taskq_resume_queue(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(SetPaused(fcinfo, false, "taskq.resume_queue()"));
}
