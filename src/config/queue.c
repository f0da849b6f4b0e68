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
#include "config/cache.h"
#include "config/queue.h"
#include "config/stale.h"
#include "store/columns.h"
#include "store/leaf.h"

#define RETAIN_COMPLETED (7 * USECS_PER_DAY)
#define RETAIN_OTHER (30 * USECS_PER_DAY)
#define RETAIN_EVENTS (3 * USECS_PER_DAY)

static const char *const unhandled_names[] = {
	[UNHANDLED_WAIT] = "wait",
	[UNHANDLED_FAIL] = "fail",
	[UNHANDLED_REJECT] = "reject",
};

/* Make a queue with the defaults of all settings. */
static TaskqQueue *
NewQueue(int32 queue_id, const char *name)
{
	TaskqQueue *queue = palloc0(sizeof(TaskqQueue));

	queue->queue_id = queue_id;
	strlcpy(queue->name, name, sizeof(queue->name));
	queue->keep_payload = true;
	queue->validate_payloads = true;
	queue->retain_completed = RETAIN_COMPLETED;
	queue->retain_other = RETAIN_OTHER;
	queue->retain_events = RETAIN_EVENTS;
	return queue;
}

static void *
MakeDefaultQueue(void)
{
	return NewQueue(TASKQ_DEFAULT_QUEUE_ID, TASKQ_DEFAULT_QUEUE);
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

static void *
ReadQueue(TupleTableSlot *slot)
{
	TaskqQueue *queue = NewQueue(DatumGetInt32(SlotDatum(slot, Anum_queue_defs_queue_id)), SlotString(slot, Anum_queue_defs_queue));

	queue->paused = DatumGetBool(SlotDatum(slot, Anum_queue_defs_paused));
	queue->keep_payload = DatumGetBool(SlotDatum(slot, Anum_queue_defs_keep_payload));
	if (!SlotIsNull(slot, Anum_queue_defs_retain_completed))
		queue->retain_completed = IntervalMicroseconds(SlotPointer(slot, Anum_queue_defs_retain_completed));
	if (!SlotIsNull(slot, Anum_queue_defs_retain_other))
		queue->retain_other = IntervalMicroseconds(SlotPointer(slot, Anum_queue_defs_retain_other));
	(void) UnhandledByName(SlotString(slot, Anum_queue_defs_on_unhandled), &queue->on_unhandled);
	queue->events = DatumGetBool(SlotDatum(slot, Anum_queue_defs_events));
	if (!SlotIsNull(slot, Anum_queue_defs_retain_events))
		queue->retain_events = IntervalMicroseconds(SlotPointer(slot, Anum_queue_defs_retain_events));
	queue->validate_payloads = DatumGetBool(SlotDatum(slot, Anum_queue_defs_validate_payloads));
	return queue;
}

static void
QueueNameOf(const void *value, void *key)
{
	strlcpy(key, ((const TaskqQueue *) value)->name, TASKQ_NAME_MAX + 1);
}

static ConfigCache queues = {
	.rel = REL_QUEUES,
	.name = "taskq queues",
	.by_number = true,
	.read = ReadQueue,
	.make_default = MakeDefaultQueue,
	.second_size = TASKQ_NAME_MAX + 1,
	.second_key = QueueNameOf,
};

const TaskqQueue *
QueueByName(const char *name, bool missing_ok)
{
	char			  key[TASKQ_NAME_MAX + 1] = { 0 };
	const TaskqQueue *queue = NULL;

	if (strlen(name) < sizeof(key))
	{
		strlcpy(key, name, sizeof(key));
		queue = ConfigFindSecond(&queues, key);
	}
	if (queue == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", name),
				 errhint("Make it with taskq.create_queue('%s'), or see taskq.queues.", name)));
	return queue;
}

/* Return a queue to which a route points.  Such queues are not dropped. */
const TaskqQueue *
QueueById(int32 queue_id)
{
	const TaskqQueue *queue = ConfigFind(&queues, &queue_id);

	if (queue == NULL)
	{
		/* a route may be seen before the change of its new queue is announced */
		ConfigReadAgain(&queues, &queue_id);
		queue = ConfigFind(&queues, &queue_id);
	}
	if (queue == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("queue %d of a route does not exist", queue_id)));
	return queue;
}

/* Return all queues, in an array that belongs to the caller. */
const TaskqQueue **
QueuesAll(int *n)
{
	return (const TaskqQueue **) ConfigAll(&queues, n);
}

/* Does any queue record events? */
bool
QueueAnyEvents(void)
{
	static uint64	   version = 0;
	static bool		   any = false;
	uint64			   current = ConfigTableVersion(REL_QUEUES);
	const TaskqQueue **all;
	int				   n;

	if (version == current)
		return any;
	version = 0;
	any = false;
	all = QueuesAll(&n);
	for (int i = 0; i < n; i++)
		any = any || all[i]->events;
	pfree(all);
	version = current;
	return any;
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
