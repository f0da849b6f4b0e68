/*
 * queue.c
 *	  Queues: named lines of jobs, which can be paused and have a retention time.
 *
 * Queue 1, "default", always exists.  It has a row only after one of its settings
 * was changed, because CREATE EXTENSION must not insert a row that is also restored
 * from a dump.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "config/queue.h"
#include "store/leaf.h"

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
static bool			 any_events = false; /* some queue records events */
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

bool
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

/* Return a queue to which a route points.  Such queues are not dropped. */
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

/* Return one of the QueueCount() queues.  It is valid until the next look-up of a queue. */
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

/* Check that all names in an array are names of queues.  The array may be NULL. */
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
