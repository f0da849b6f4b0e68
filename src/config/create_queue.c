/*
 * create_queue.c
 *	  Create, change, drop, pause and resume queues: create_queue(), alter_queue(),
 *	  drop_queue(), pause_queue() and resume_queue().
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/signature.h"
#include "config/changes.h"
#include "config/fair.h"
#include "config/limit.h"
#include "config/queue.h"
#include "store/leaf.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_create_queue);
PG_FUNCTION_INFO_V1(taskq_alter_queue);
PG_FUNCTION_INFO_V1(taskq_drop_queue);
PG_FUNCTION_INFO_V1(taskq_pause_queue);
PG_FUNCTION_INFO_V1(taskq_resume_queue);

/* Check the argument on_unhandled and return it.  Returns NULL if it was not given. */
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

/* Check the argument on_delayed and return it.  Returns NULL if it was not given. */
static Datum
DelayedArg(FunctionCallInfo fcinfo, int n, char *null)
{
	char *name = ArgNameOrNull(fcinfo, n, "on_delayed");
	bool  skips_delayed;

	*null = name == NULL ? 'n' : ' ';
	if (name == NULL)
		return (Datum) 0;
	if (!DelayedByName(name, &skips_delayed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown on_delayed \"%s\"", name),
				 errhint("Use hold or skip.")));
	return CStringGetTextDatum(name);
}

static void
CheckAgeEvery(FunctionCallInfo fcinfo, int n)
{
	int64 age_every = PG_ARGISNULL(n) ? 0 : IntervalMicroseconds(PG_GETARG_INTERVAL_P(n));

	if (age_every == 0 || (age_every >= MIN_AGE_EVERY && age_every <= MAX_AGE_EVERY))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("age_every must be from 1 millisecond to 365 days"),
			 errhint("Give 0 for strict priorities.")));
}

/* A queue that has been written returns whether it is ordered or fair, and has age_every, too. */
static void
CheckOneOrder(void)
{
	bool isnull;

	if (SPI_processed > 0 && DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an ordered or fair queue cannot have age_every"),
				 errdetail("The order of its jobs does not depend on how long they have waited."),
				 errhint("Set age_every to 0, or ordered and fair to false.")));
}

/* The arguments of create_queue() and alter_queue(), in order. */
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
	ARG_ORDERED,
	ARG_ON_DELAYED,
	ARG_FAIR,
	ARG_FAIR_BY,
	ARG_WEIGHTS,
	ARG_AGE_EVERY,
	ARG_COUNT
};

static Oid queue_arg_types[] = { TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, BOOLOID, TEXTOID, BOOLOID, INTERVALOID, BOOLOID,
								 BOOLOID, TEXTOID, BOOLOID, TEXTARRAYOID, JSONBOID, INTERVALOID, TIMESTAMPTZOID };

#define QUEUE_PARAMS lengthof(queue_arg_types) /* the arguments and the time */

/*
 * Pass the arguments as parameters of a statement.  Retention works in whole days,
 * so an interval of any length is accepted.
 */
static char *
QueueParams(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	char *name;

	name = ArgName(fcinfo, ARG_QUEUE, "queue");
	CheckArgText(fcinfo, ARG_DESCRIPTION, "description");
	(void) ArgMicroseconds(fcinfo, ARG_RETAIN_COMPLETED, "retain_completed", 0);
	(void) ArgMicroseconds(fcinfo, ARG_RETAIN_OTHER, "retain_other", 0);
	(void) ArgMicroseconds(fcinfo, ARG_RETAIN_EVENTS, "retain_events", 0);
	CheckAgeEvery(fcinfo, ARG_AGE_EVERY);
	for (int i = 0; i < ARG_COUNT; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	values[ARG_ON_UNHANDLED] = UnhandledArg(fcinfo, ARG_ON_UNHANDLED, &nulls[ARG_ON_UNHANDLED]);
	values[ARG_ON_DELAYED] = DelayedArg(fcinfo, ARG_ON_DELAYED, &nulls[ARG_ON_DELAYED]);
	values[ARG_COUNT] = TimestampTzGetDatum(ClockNow());
	nulls[ARG_COUNT] = ' ';
	return name;
}

/*
 * Set the parameters for the groups of a fair queue.  "before" is the queue that is changed,
 * or NULL.
 */
static void
FairParams(FunctionCallInfo fcinfo, const TaskqQueue *before, Datum *values, char *nulls)
{
	uint8			had = before == NULL ? KEY_GROUP : before->fair_by;
	uint8			fair_by = FairByArg(fcinfo, ARG_FAIR_BY);
	struct varlena *weights;

	if (fair_by == 0)
		fair_by = had;
	weights = FairWeightsArg(fcinfo, ARG_WEIGHTS, fair_by);
	if (before != NULL && fair_by != had && weights == NULL && before->n_costs > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fair_by of queue \"%s\" cannot be changed without its weights", before->name),
				 errdetail("The weights are those of values of other keys."),
				 errhint("Give weights, too: '{}' for none.")));
	if (before == NULL || !PG_ARGISNULL(ARG_FAIR_BY))
	{
		values[ARG_FAIR_BY] = PointerGetDatum(LimitKeyNames(fair_by));
		nulls[ARG_FAIR_BY] = ' ';
	}
	values[ARG_WEIGHTS] = PointerGetDatum(weights);
}

/*
 * Announce a change of queues.  If a queue records events, have the scheduler
 * create leaves for them.
 */
static void
QueueChanged(FunctionCallInfo fcinfo, int32 queue_id)
{
	ConfigNumberChanged(REL_QUEUES, queue_id);
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
	int32	   queue_id;
	bool	   isnull;

	CheckCall(fcinfo);
	CheckWritable("taskq.create_queue()");
	name = QueueParams(fcinfo, values, nulls);
	(void) ArgBool(fcinfo, ARG_KEEP_PAYLOAD, "keep_payload");
	(void) ArgBool(fcinfo, ARG_EVENTS, "events");
	(void) ArgBool(fcinfo, ARG_VALIDATE_PAYLOADS, "validate_payloads");
	(void) ArgBool(fcinfo, ARG_ORDERED, "ordered");
	(void) ArgBool(fcinfo, ARG_FAIR, "fair");
	FairParams(fcinfo, NULL, values, nulls);
	if (QueueByName(name, true) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("queue \"%s\" already exists", name),
				 errhint("Change it with taskq.alter_queue().")));

	OwnerEnterSpi(&scope);
	OwnerExecute("INSERT INTO taskq.queue_defs (queue, description, retain_completed, retain_other, keep_payload,"
				 " on_unhandled, events, retain_events, validate_payloads, ordered, on_delayed, lined_up_to, order_id, fair, fair_by, weights, age_every, created_at)"
				 " VALUES ($1, $2, $3, $4, $5, COALESCE($6, 'wait'), $7, $8, $9, $10, COALESCE($11, 'hold'),"
				 " CASE WHEN $10 THEN 9223372036854775807 END,"
				 " CASE WHEN $10 THEN nextval('taskq.limit_defs_limit_id_seq') END, $12, $13, NULLIF($14, '{}'), NULLIF($15, '0'), $16)"
				 " RETURNING queue_id, (ordered OR fair) AND age_every IS NOT NULL",
				 QUEUE_PARAMS, queue_arg_types, values, nulls);
	queue_id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	CheckOneOrder();
	OwnerLeaveSpi(&scope);
	QueueChanged(fcinfo, queue_id);
	if (PG_GETARG_BOOL(ARG_FAIR))
		FairWarnWithoutPreload(name);
	PG_RETURN_VOID();
}

/* Insert the row of the default queue, if it has none yet, before it is changed. */
static void
KeepDefaultQueue(void)
{
	Oid	  types[] = { TIMESTAMPTZOID };
	Datum values[] = { TimestampTzGetDatum(ClockNow()) };

	OwnerExecute("INSERT INTO taskq.queue_defs (queue_id, queue, created_at)"
				 " VALUES (1, 'default', $1) ON CONFLICT (queue_id) DO NOTHING",
				 1, types, values, NULL);
}

/* Does a call of alter_queue() change the order of the queue? */
static bool
OrderChanges(FunctionCallInfo fcinfo, const TaskqQueue *queue)
{
	bool ordered = PG_ARGISNULL(ARG_ORDERED) ? queue->ordered : PG_GETARG_BOOL(ARG_ORDERED);

	return ordered != queue->ordered || (ordered && !PG_ARGISNULL(ARG_ON_DELAYED));
}

Datum
taskq_alter_queue(PG_FUNCTION_ARGS)
{
	Datum			  values[QUEUE_PARAMS];
	char			  nulls[QUEUE_PARAMS];
	OwnerScope		  scope;
	const TaskqQueue *queue;
	bool			  order_changes;

	CheckCall(fcinfo);
	CheckWritable("taskq.alter_queue()");
	queue = QueueByName(QueueParams(fcinfo, values, nulls), false);
	FairParams(fcinfo, queue, values, nulls);
	order_changes = OrderChanges(fcinfo, queue);

	OwnerEnterSpi(&scope);
	KeepDefaultQueue();
	OwnerExecute("UPDATE taskq.queue_defs SET description = COALESCE($2, description),"
				 " retain_completed = COALESCE($3, retain_completed),"
				 " retain_other = COALESCE($4, retain_other),"
				 " keep_payload = COALESCE($5, keep_payload),"
				 " on_unhandled = COALESCE($6, on_unhandled),"
				 " events = COALESCE($7, events),"
				 " retain_events = COALESCE($8, retain_events),"
				 " validate_payloads = COALESCE($9, validate_payloads),"
				 " ordered = COALESCE($10, ordered),"
				 " on_delayed = COALESCE($11, on_delayed),"
				 " lined_up_to = CASE WHEN NOT COALESCE($10, ordered) THEN NULL"
				 " WHEN ordered AND COALESCE($11, on_delayed) = on_delayed THEN lined_up_to ELSE 0 END,"
				 " order_id = CASE WHEN NOT COALESCE($10, ordered) THEN NULL"
				 " WHEN ordered THEN order_id ELSE nextval('taskq.limit_defs_limit_id_seq') END,"
				 " fair = COALESCE($12, fair), fair_by = COALESCE($13, fair_by),"
				 " weights = NULLIF(COALESCE($14, weights), '{}'),"
				 " age_every = NULLIF(COALESCE($15, age_every), '0') WHERE queue = $1"
				 " RETURNING queue_id, (ordered OR fair) AND age_every IS NOT NULL",
				 ARG_COUNT, queue_arg_types, values, nulls);
	CheckOneOrder();
	OwnerLeaveSpi(&scope);
	QueueChanged(fcinfo, queue->queue_id);
	if (!PG_ARGISNULL(ARG_FAIR) && PG_GETARG_BOOL(ARG_FAIR))
		FairWarnWithoutPreload(queue->name);
	if (order_changes)
		ConfigNumberChanged(REL_QUEUES, ORDER_OF(queue->queue_id));
	PG_RETURN_VOID();
}

/* A limit for a queue that does not exist could not be read by users. */
static void
CheckNoLimit(const char *queue)
{
	int				   n;
	const TaskqLimit **limits = LimitsAll(&n);

	for (int i = 0; i < n; i++)
		if (strcmp(limits[i]->queue, queue) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("queue \"%s\" cannot be dropped because limit \"%s\" is for its jobs", queue, limits[i]->name),
					 errhint("Drop the limit with taskq.drop_limit() first.")));
}

Datum
taskq_drop_queue(PG_FUNCTION_ARGS)
{
	Oid				  types[] = { INT4OID };
	Datum			  values[1];
	char			 *name;
	const TaskqQueue *queue;
	OwnerScope		  scope;

	CheckCall(fcinfo);
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

	CheckNoLimit(name);
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
	ConfigNumberChanged(REL_QUEUES, DatumGetInt32(values[0]));
	PG_RETURN_BOOL(true);
}

/* Set or clear "paused".  Returns whether that has changed the row. */
static bool
SetPaused(FunctionCallInfo fcinfo, bool paused, const char *what)
{
	Oid		   types[] = { TEXTOID, BOOLOID };
	Datum	   values[2];
	char	  *name;
	bool	   changed;
	int32	   queue_id;
	OwnerScope scope;

	CheckWritable(what);
	name = ArgName(fcinfo, 0, "queue");
	queue_id = QueueByName(name, false)->queue_id;
	values[0] = CStringGetTextDatum(name);
	values[1] = BoolGetDatum(paused);

	OwnerEnterSpi(&scope);
	KeepDefaultQueue();
	changed = OwnerExecute("UPDATE taskq.queue_defs SET paused = $2 WHERE queue = $1 AND paused <> $2",
						   2, types, values, NULL) > 0;
	OwnerLeaveSpi(&scope);
	if (changed)
		ConfigNumberChanged(REL_QUEUES, queue_id);
	return changed;
}

Datum
taskq_pause_queue(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	PG_RETURN_BOOL(SetPaused(fcinfo, true, "taskq.pause_queue()"));
}

Datum
taskq_resume_queue(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	PG_RETURN_BOOL(SetPaused(fcinfo, false, "taskq.resume_queue()"));
}
