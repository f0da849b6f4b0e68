/*
 * decide.c
 *	  Decisions: results that name the next steps.  The steps are enqueued in the
 *	  transaction that completes the job.  The job's result then has the names of the
 *	  steps, the ids of their jobs and the routing context.
 *
 * A step is a task type.  It is enqueued by a call of enqueue_job(), with the rights
 * of the handler's role or of the caller of complete_job().  Nothing here runs as the
 * extension's owner.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "base/cost.h"
#include "base/error.h"
#include "base/json.h"
#include "base/signature.h"
#include "config/budget.h"
#include "config/handler.h"
#include "config/route.h"
#include "settle/decide.h"
#include "settle/result.h"

PG_FUNCTION_INFO_V1(taskq_decision);

#define STEPS "activated_steps"
#define CONTEXT "routing_context"
#define PAYLOAD "payload"
#define OPTIONS "step_options"

#define MAX_STEPS 1000

/* build -------------------------------------------------------------------- */

Datum
taskq_decision(PG_FUNCTION_ARGS)
{
	StringInfoData json;
	ArrayType	  *names;
	Datum		  *values;
	bool		  *nulls;
	char		 **steps;
	int			   n;

	CheckCall(fcinfo);
	names = ArgNamesOrNull(fcinfo, 0, STEPS);
	if (names == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("activated_steps must not be NULL"),
				 errhint("Use an empty array for a decision without steps.")));
	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	steps = palloc(sizeof(char *) * (n + 1));
	for (int i = 0; i < n; i++)
		steps[i] = TextDatumGetCString(values[i]);

	ResultBegin(&json, "decision");
	JsonAddTexts(&json, STEPS, steps, n);
	if (!PG_ARGISNULL(1))
		JsonAddJsonb(&json, CONTEXT, ArgJson(fcinfo, 1, CONTEXT));
	if (!PG_ARGISNULL(2))
		JsonAddJsonb(&json, PAYLOAD, ArgJson(fcinfo, 2, PAYLOAD));
	if (!PG_ARGISNULL(3))
		JsonAddJsonb(&json, OPTIONS, ArgJson(fcinfo, 3, OPTIONS));
	PG_RETURN_DATUM(ResultEnd(&json));
}

/* read --------------------------------------------------------------------- */

/* The members of a decision.  decision() itself checks little of them. */
typedef struct Decision
{
	int	   n;
	char **steps;
	Jsonb *context; /* NULL: none */
	Jsonb *payload; /* NULL: the payload of the job that decides */
	Jsonb *options; /* NULL: none */
} Decision;

TASKQ_NORETURN static void
RefuseMember(const char *key, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s of a decision must be %s", key, what),
			 errhint("Build the result with taskq.decision().")));
}

static Jsonb *
Member(Jsonb *object, const char *key)
{
	JsonbValue value;

	if (getKeyJsonValueFromContainer(&object->root, key, strlen(key), &value) == NULL)
		return NULL;
	return JsonbValueToJsonb(&value);
}

static Jsonb *
ObjectMember(Jsonb *object, const char *key)
{
	Jsonb *member = Member(object, key);

	if (member != NULL && !JB_ROOT_IS_OBJECT(member))
		RefuseMember(key, "an object");
	return member;
}

static void
ReadSteps(Jsonb *result, Decision *decision)
{
	Jsonb *steps = Member(result, STEPS);

	if (steps == NULL || !JB_ROOT_IS_ARRAY(steps) || JB_ROOT_IS_SCALAR(steps))
		RefuseMember(STEPS, "an array of task types");
	decision->n = JB_ROOT_COUNT(steps);
	if (decision->n > MAX_STEPS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a decision activates %d steps, more than %d", decision->n, MAX_STEPS)));
	decision->steps = palloc(sizeof(char *) * (decision->n + 1));
	for (int i = 0; i < decision->n; i++)
	{
		JsonbValue *step = getIthJsonbValueFromContainer(&steps->root, i);

		if (step->type != jbvString)
			RefuseMember(STEPS, "an array of task types");
		decision->steps[i] = pnstrdup(step->val.string.val, step->val.string.len);
		CheckName(decision->steps[i], "step");
		for (int j = 0; j < i; j++)
			if (strcmp(decision->steps[i], decision->steps[j]) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("step \"%s\" is activated twice by one decision", decision->steps[i]),
						 errhint("For several jobs of one type use taskq.enqueue_jobs().")));
	}
}

/*
 * Raise an error if a step is not registered.  No step is enqueued then, and the error
 * is permanent, because a retry would meet the same registry.
 */
static void
RefuseUnknown(const Decision *decision)
{
	StringInfoData unknown;

	initStringInfo(&unknown);
	for (int i = 0; i < decision->n; i++)
		if (HandlerFind(decision->steps[i]) == NULL)
			appendStringInfo(&unknown, "%s%s", unknown.len > 0 ? ", " : "", decision->steps[i]);
	if (unknown.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_PERMANENT),
				 errmsg("the decision activates steps that are not registered: %s", unknown.data),
				 errdetail("Registered types: %s.", HandlerTypesText()),
				 errhint("Register them with taskq.register_handler(), then complete the job again if it is still claimed, else put it back with taskq.retry_job().")));
}

/* The options of a step. */
static const char *const known_options[] = {
	"payload", "queue", "priority", "delay", "required_capabilities", "min_version", "weight", "budgets", "estimated_cost"
};

static bool
IsKnownOption(const char *name)
{
	for (int i = 0; i < lengthof(known_options); i++)
		if (strcmp(known_options[i], name) == 0)
			return true;
	return false;
}

/* Return the options with which a step is enqueued, or NULL if there are none. */
static Jsonb *
OptionsOf(const Decision *decision, const char *step)
{
	Jsonb			  *options = decision->options == NULL ? NULL : ObjectMember(decision->options, step);
	JsonbIterator	  *iterator;
	JsonbIteratorToken token;
	JsonbValue		   key;

	if (options == NULL)
		return NULL;
	iterator = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		char *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		if (!IsKnownOption(name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown option \"%s\" of step \"%s\"", name, step),
					 errhint("A step can be given payload, queue, priority, delay, required_capabilities, min_version, weight, budgets and estimated_cost.")));
	}
	return options;
}

/* Return an option that is an array of names, or NULL if it is not given or null. */
static ArrayType *
NamesOption(Jsonb *options, const char *key)
{
	Jsonb			*member = options == NULL ? NULL : Member(options, key);
	ArrayBuildState *names = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	if (member == NULL || (JB_ROOT_IS_SCALAR(member) && getIthJsonbValueFromContainer(&member->root, 0)->type == jbvNull))
		return NULL;
	if (!JB_ROOT_IS_ARRAY(member) || JB_ROOT_IS_SCALAR(member))
		RefuseMember(key, "an array of names");
	for (int i = 0; i < JB_ROOT_COUNT(member); i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(&member->root, i);

		if (name->type != jbvString)
			RefuseMember(key, "an array of names");
		names = accumArrayResult(names, PointerGetDatum(cstring_to_text_with_len(name->val.string.val, name->val.string.len)),
								 false, TEXTOID, CurrentMemoryContext);
	}
	return DatumGetArrayTypeP(makeArrayResult(names, CurrentMemoryContext));
}

/* follow ------------------------------------------------------------------- */

/*
 * Who pays for a step, and how much it counts.  If its options say nothing of that, it is as for the
 * job that decides.  An estimate is one for certain budgets, so it is not kept for others.
 */
typedef struct StepCost
{
	ArrayType *budgets;
	Datum	   estimate; /* 0: none */
	int32	   weight;
} StepCost;

/* Return those of the names whose budgets exist: others bound nothing, and no job is enqueued with them. */
static ArrayType *
ExistingBudgets(ArrayType *names)
{
	int	   n;
	int	   n_kept = 0;
	char **strings = NamesToStrings(names, &n, "budgets");

	for (int i = 0; i < n; i++)
		if (BudgetByName(strings[i], true) != NULL)
			strings[n_kept++] = strings[i];
	return n_kept == 0 ? NULL : StringsToNames(strings, n_kept);
}

static StepCost
CostOfStep(Jsonb *options, const TaskqJob *job)
{
	const TaskqRoute *route = RouteById(job->route_id);
	StepCost		  cost = { .weight = JobWeight(job) };

	cost.budgets = NamesOption(options, "budgets");
	if (cost.budgets != NULL || route->budgets == NULL)
		return cost;
	cost.budgets = ExistingBudgets(route->budgets);
	if (cost.budgets != NULL && route->estimated_cost != 0)
		cost.estimate = CostDatum(route->estimated_cost);
	return cost;
}

/* Enqueue a step and return its job's id.  It gets tags, tenant, group key and correlation id of the job that decides. */
static int64
EnqueueStep(const Decision *decision, const char *step, const TaskqJob *job)
{
	static const char *const statement =
		"SELECT taskq.enqueue_job($1, COALESCE($3 OPERATOR(pg_catalog.->) 'payload', $2),"
		" queue => $3 OPERATOR(pg_catalog.->>) 'queue',"
		" priority => ($3 OPERATOR(pg_catalog.->>) 'priority')::pg_catalog.int4,"
		" delay => ($3 OPERATOR(pg_catalog.->>) 'delay')::pg_catalog.interval,"
		" tags => $4, tenant_id => $5, group_key => $6, correlation_id => $7,"
		" required_capabilities => $8, min_version => $3 OPERATOR(pg_catalog.->>) 'min_version', budgets => $9,"
		" estimated_cost => COALESCE(($3 OPERATOR(pg_catalog.->>) 'estimated_cost')::pg_catalog.numeric, $10),"
		" weight => COALESCE(($3 OPERATOR(pg_catalog.->>) 'weight')::pg_catalog.int4, $11))";
	Oid			types[] = { TEXTOID, JSONBOID, JSONBOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, NUMERICOID, INT4OID };
	Jsonb	   *options = OptionsOf(decision, step);
	StepCost	cost = CostOfStep(options, job);
	const void *arguments[] = {
		cstring_to_text(step),
		decision->payload != NULL ? (void *) decision->payload : (void *) job->payload,
		options,
		job->tags,
		job->tenant_id,
		job->group_key,
		job->correlation_id,
		NamesOption(options, "required_capabilities"),
		cost.budgets,
		DatumGetPointer(cost.estimate),
	};
	Datum values[lengthof(types)];
	char  nulls[lengthof(types)];
	bool  isnull;

	for (int i = 0; i < lengthof(arguments); i++)
	{
		values[i] = PointerGetDatum(arguments[i]);
		nulls[i] = arguments[i] == NULL ? 'n' : ' ';
	}
	values[lengthof(arguments)] = Int32GetDatum(cost.weight);
	nulls[lengthof(arguments)] = ' ';
	if (SPI_execute_with_args(statement, lengthof(types), types, values, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not enqueue a step");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * Enqueue the steps of a value of decision(), and return the result that is stored for
 * the job, in the current memory context.
 */
struct varlena *
Decide(Jsonb *built, const TaskqJob *job)
{
	Decision	   decision;
	StringInfoData kept;
	StringInfoData ids;

	Assert(ResultHasTag(built, "decision"));
	ReadSteps(built, &decision);
	decision.context = ObjectMember(built, CONTEXT);
	decision.payload = Member(built, PAYLOAD);
	decision.options = ObjectMember(built, OPTIONS);
	RefuseUnknown(&decision);

	initStringInfo(&ids);
	appendStringInfoChar(&ids, '[');
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (int i = 0; i < decision.n; i++)
		appendStringInfo(&ids, "%s" INT64_FORMAT, i > 0 ? ", " : "", EnqueueStep(&decision, decision.steps[i], job));
	SPI_finish();

	appendStringInfoChar(&ids, ']');
	JsonBegin(&kept);
	JsonAddTexts(&kept, STEPS, decision.steps, decision.n);
	JsonAddRaw(&kept, "job_ids", ids.data);
	if (decision.context != NULL)
		JsonAddJsonb(&kept, CONTEXT, (struct varlena *) decision.context);
	else
		JsonAddRaw(&kept, CONTEXT, "{}");
	return (struct varlena *) JsonEnd(&kept);
}
