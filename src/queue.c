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

#include "args.h"
#include "catalog.h"
#include "clock.h"
#include "owner.h"
#include "queue.h"
#include "store.h"

PG_FUNCTION_INFO_V1(taskq_create_queue);
PG_FUNCTION_INFO_V1(taskq_alter_queue);
PG_FUNCTION_INFO_V1(taskq_drop_queue);
PG_FUNCTION_INFO_V1(taskq_pause_queue);
PG_FUNCTION_INFO_V1(taskq_resume_queue);

/* Columns of taskq.queue_defs, in order. */
enum
{
	QUEUE_ID = 1, QUEUE_NAME, QUEUE_DESCRIPTION, QUEUE_PAUSED, QUEUE_KEEP_PAYLOAD,
	QUEUE_RETAIN_COMPLETED, QUEUE_RETAIN_OTHER, QUEUE_ON_UNHANDLED
};

#define RETAIN_COMPLETED (7 * USECS_PER_DAY)
#define RETAIN_OTHER (30 * USECS_PER_DAY)

static const char *const unhandled_names[] =
{
	[UNHANDLED_WAIT] = "wait",
	[UNHANDLED_FAIL] = "fail",
	[UNHANDLED_REJECT] = "reject",
};

/* All queues, as of queues_version. */
static MemoryContext queues_context = NULL;
static TaskqQueue *queues = NULL;
static int	n_queues = 0;
static int	max_queues = 0;
static uint64 queues_version = 0;

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
	queue->retain_completed = RETAIN_COMPLETED;
	queue->retain_other = RETAIN_OTHER;
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
}

static void
LoadQueues(void)
{
	uint64		version = CatalogVersion();

	if (queues_version == version)
		return;
	queues_version = 0;
	if (queues_context == NULL)
		queues_context = AllocSetContextCreate(TopMemoryContext, "taskq queues", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(queues_context);
	queues = NULL;
	n_queues = max_queues = 0;
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

/* Names that are given for queues must be those of queues; NULL is fine. */
void
QueueCheckNames(ArrayType *names)
{
	Datum	   *values;
	int			n;

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

/* Retention as given; history goes by days, so any length will do. */
static void
RetentionArgs(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	for (int i = 2; i <= 3; i++)
		if (ArgMicroseconds(fcinfo, i, i == 2 ? "retain_completed" : "retain_other", 0) == NO_MICROSECONDS)
			nulls[i] = 'n';
		else
		{
			values[i] = PG_GETARG_DATUM(i);
			nulls[i] = ' ';
		}
}

Datum
taskq_create_queue(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, BOOLOID, TIMESTAMPTZOID, TEXTOID};
	Datum		values[7];
	char		nulls[] = "       ";
	char	   *name;
	OwnerScope	scope;

	CheckArgCount(fcinfo, 6);
	CheckWritable("taskq.create_queue()");
	name = ArgName(fcinfo, 0, "queue");
	if (QueueByName(name, true) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("queue \"%s\" already exists", name),
				 errhint("Change it with taskq.alter_queue().")));
	values[0] = CStringGetTextDatum(name);
	values[1] = PG_ARGISNULL(1) ? (nulls[1] = 'n', (Datum) 0) : PG_GETARG_DATUM(1);
	RetentionArgs(fcinfo, values, nulls);
	values[4] = BoolGetDatum(ArgBool(fcinfo, 4, "keep_payload"));
	values[5] = TimestampTzGetDatum(ClockNow());
	values[6] = UnhandledArg(fcinfo, 5, &nulls[6]);

	OwnerEnterSpi(&scope);
	OwnerExecute("INSERT INTO taskq.queue_defs"
				 " (queue, description, retain_completed, retain_other, keep_payload, created_at, on_unhandled)"
				 " VALUES ($1, $2, $3, $4, $5, $6, COALESCE($7, 'wait'))", 7, types, values, nulls);
	OwnerLeaveSpi(&scope);
	CatalogChanged(REL_QUEUES);
	PG_RETURN_VOID();
}

/* Give the default queue its row, before the first change. */
static void
KeepDefaultQueue(void)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(ClockNow())};

	OwnerExecute("INSERT INTO taskq.queue_defs (queue_id, queue, created_at)"
				 " VALUES (1, 'default', $1) ON CONFLICT (queue_id) DO NOTHING", 1, types, values, NULL);
}

Datum
taskq_alter_queue(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, BOOLOID, TEXTOID};
	Datum		values[6];
	char		nulls[] = "      ";
	char	   *name;
	OwnerScope	scope;

	CheckArgCount(fcinfo, 6);
	CheckWritable("taskq.alter_queue()");
	name = ArgName(fcinfo, 0, "queue");
	QueueByName(name, false);
	values[0] = CStringGetTextDatum(name);
	values[1] = PG_ARGISNULL(1) ? (nulls[1] = 'n', (Datum) 0) : PG_GETARG_DATUM(1);
	RetentionArgs(fcinfo, values, nulls);
	values[4] = PG_ARGISNULL(4) ? (nulls[4] = 'n', (Datum) 0) : PG_GETARG_DATUM(4);
	values[5] = UnhandledArg(fcinfo, 5, &nulls[5]);

	OwnerEnterSpi(&scope);
	KeepDefaultQueue();
	OwnerExecute("UPDATE taskq.queue_defs SET description = COALESCE($2, description),"
				 " retain_completed = COALESCE($3, retain_completed),"
				 " retain_other = COALESCE($4, retain_other),"
				 " keep_payload = COALESCE($5, keep_payload),"
				 " on_unhandled = COALESCE($6, on_unhandled) WHERE queue = $1",
				 6, types, values, nulls);
	OwnerLeaveSpi(&scope);
	CatalogChanged(REL_QUEUES);
	PG_RETURN_VOID();
}

Datum
taskq_drop_queue(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT4OID};
	Datum		values[1];
	char	   *name;
	const TaskqQueue *queue;
	OwnerScope	scope;

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
	Oid			types[] = {TEXTOID, BOOLOID};
	Datum		values[2];
	char	   *name;
	bool		changed;
	OwnerScope	scope;

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
