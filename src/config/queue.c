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
#include "config/fair.h"
#include "config/queue.h"
#include "config/stale.h"
#include "store/leaf.h"
#include "store/row.h"

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
	queue->fair_by = KEY_GROUP;
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

/* Read what a job that waits for its time does to those behind it. */
bool
DelayedByName(const char *name, bool *skips_delayed)
{
	*skips_delayed = strcmp(name, "skip") == 0;
	return *skips_delayed || strcmp(name, "hold") == 0;
}

static void *
ReadQueue(TupleTableSlot *slot)
{
	TaskqQueue *queue;
	QueueRow	row;

	RowReadQueue(&row, slot);
	queue = NewQueue(row.queue_id, row.queue);
	queue->paused = row.paused;
	queue->keep_payload = row.keep_payload;
	if (row.retain_completed != NO_MICROSECONDS)
		queue->retain_completed = row.retain_completed;
	if (row.retain_other != NO_MICROSECONDS)
		queue->retain_other = row.retain_other;
	(void) UnhandledByName(row.on_unhandled, &queue->on_unhandled);
	queue->events = row.events;
	if (row.retain_events != NO_MICROSECONDS)
		queue->retain_events = row.retain_events;
	queue->validate_payloads = row.validate_payloads;
	queue->ordered = row.ordered;
	(void) DelayedByName(row.on_delayed, &queue->skips_delayed);
	queue->order_id = row.order_id;
	queue->lined_up_to = row.lined_up_to;
	queue->fair = row.fair;
	if (row.fair_by != NULL)
		queue->fair_by = LimitKeysOf(row.fair_by);
	FairReadWeights(queue, row.weights);
	if (row.age_every >= MIN_AGE_EVERY && row.age_every <= MAX_AGE_EVERY)
		queue->age_every = row.age_every;
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
