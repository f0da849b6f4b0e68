/*
 * payload.c
 *	  Are payloads as their task type's handler expects them?  Asked before a
 *	  job is written, so that a mistake is the producer's error and not a failed
 *	  attempt somewhere else.
 *
 * A payload type is tried by jsonb_to_record(), by which PostgreSQL itself makes
 * a row of JSON: first the whole payload, and when that fails each member, to
 * name all that are wrong.  What users bring runs through UserCodeRun().
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "config/fields.h"
#include "config/handler.h"
#include "registry/payload.h"
#include "registry/usercode.h"

PG_FUNCTION_INFO_V1(taskq_validate_task);

#define MAX_HINT 2000 /* bytes */

/* JSON that is tried as a row, or as a domain over it. */
typedef struct Conversion
{
	FmgrInfo	  flinfo; /* of jsonb_to_record() */
	TupleDesc	  desc;
	Oid			  domain; /* InvalidOid: none */
	void		 *domain_state;
	Jsonb		 *json;
	MemoryContext context;
} Conversion;

typedef struct Validation
{
	FmgrInfo flinfo;
	bool	 returns_text;
	Jsonb	*payload;
	bool	 valid;
	char	*reason; /* why it is not, if it was said */
} Validation;

typedef struct PayloadCheck
{
	char		  task_type[TASKQ_NAME_MAX + 1];
	TaskqContract contract;
	UserCode	  code;
	Oid			  base; /* the composite type of the payload type, or InvalidOid */
	Conversion	  whole;
	Validation	  validation;
	Problems	  problems;
} PayloadCheck;

/* calls, in the role of the handler ---------------------------------------- */

static void
Convert(void *arg)
{
	Conversion *conversion = arg;
	LOCAL_FCINFO(fcinfo, 1);
	ReturnSetInfo wanted = { .type = T_ReturnSetInfo, .expectedDesc = conversion->desc };
	Datum		  row;

	InitFunctionCallInfoData(*fcinfo, &conversion->flinfo, 1, InvalidOid, NULL, (Node *) &wanted);
	fcinfo->args[0].value = JsonbPGetDatum(conversion->json);
	fcinfo->args[0].isnull = false;
	row = FunctionCallInvoke(fcinfo);
	if (OidIsValid(conversion->domain))
		domain_check(row, fcinfo->isnull, conversion->domain, &conversion->domain_state, conversion->context);
}

static void
Validate(void *arg)
{
	Validation *validation = arg;
	LOCAL_FCINFO(fcinfo, 1);
	Datum answer;

	InitFunctionCallInfoData(*fcinfo, &validation->flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(validation->payload);
	fcinfo->args[0].isnull = false;
	answer = FunctionCallInvoke(fcinfo);
	validation->reason = NULL;
	if (!validation->returns_text)
		validation->valid = !fcinfo->isnull && DatumGetBool(answer);
	else
	{
		validation->valid = fcinfo->isnull;
		if (!fcinfo->isnull)
			validation->reason = TextDatumGetCString(answer);
	}
}

/*
 * Run one of these; NULL, or what it has to say against the payload.  That is
 * bad data, a violated constraint or what PL/pgSQL raises; by any other error
 * something is wrong with the code, and that is passed on.
 */
static ErrorData *
Objection(PayloadCheck *check, const char *what, UserCodeFunction function, void *arg)
{
	ErrorData *error;

	check->code.what = what;
	error = UserCodeRun(&check->code, function, arg);

	if (error != NULL && ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_PLPGSQL_ERROR)
		UserCodePassOn(error);
	return error;
}

/* type --------------------------------------------------------------------- */

/* What it is that is asked, for messages. */
static char *
TypeOf(const PayloadCheck *check)
{
	return psprintf("payload type %s", check->contract.payload_type);
}

static void
ConversionInit(Conversion *conversion, TupleDesc desc)
{
	memset(conversion, 0, sizeof(*conversion));
	fmgr_info(F_JSONB_TO_RECORD, &conversion->flinfo);
	conversion->desc = desc;
	conversion->context = CurrentMemoryContext;
}

/* A row of one column. */
static TupleDesc
DescOfOne(const char *name, Oid type, int32 typmod, Oid collation)
{
	TupleDesc desc = CreateTemplateTupleDesc(1);

	TupleDescInitEntry(desc, 1, name, type, typmod, 0);
	TupleDescInitEntryCollation(desc, 1, collation);
	TupleDescFinalize_compat(desc);
	return desc;
}

/* {"payload": ...}, for types that are no rows themselves */
static Jsonb *
Wrap(Jsonb *payload)
{
	Datum name = CStringGetTextDatum("payload");

	return DatumGetJsonbP(DirectFunctionCall4(jsonb_set, DirectFunctionCall1(jsonb_in, CStringGetDatum("{\"payload\": null}")),
											  PointerGetDatum(construct_array(&name, 1, TEXTOID, -1, false, TYPALIGN_INT)),
											  JsonbPGetDatum(payload), BoolGetDatum(true)));
}

/* NULL when the object has no member of this name. */
static JsonbValue *
MemberOf(Jsonb *object, const char *name, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(&object->root, name, strlen(name), value);
}

/* Must a row of a table have this column in the payload? */
static bool
IsNeeded(Form_pg_attribute attribute)
{
	return attribute->attnotnull && !attribute->atthasdef && attribute->attidentity == '\0';
}

static void CheckMembers(PayloadCheck *check, Oid type, Jsonb *object, const char *path, bool convert);

/* Check one attribute of a composite type, and what is inside it. */
static void
CheckMember(PayloadCheck *check, Form_pg_attribute attribute, Jsonb *object, const char *path, bool convert)
{
	Oid		   base = getBaseType(attribute->atttypid);
	char	  *name = psprintf("%s%s", path, NameStr(attribute->attname));
	int		   before = check->problems.count;
	Conversion conversion;
	ErrorData *error;
	JsonbValue value;
	bool	   present = MemberOf(object, NameStr(attribute->attname), &value) != NULL;

	if (!present && IsNeeded(attribute))
		FieldMissing(&check->problems, name);
	else if (present && value.type == jbvNull && attribute->attnotnull)
		ProblemAdd(&check->problems, "Field \"%s\" must not be null.", name);
	else if (present && value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data) &&
			 get_typtype(base) == TYPTYPE_COMPOSITE)
		CheckMembers(check, base, JsonbValueToJsonb(&value), psprintf("%s.", name), convert);
	if (!convert || check->problems.count > before || FieldIsNamed(&check->problems, name))
		return;

	ConversionInit(&conversion, DescOfOne(NameStr(attribute->attname), attribute->atttypid,
										  attribute->atttypmod, attribute->attcollation));
	conversion.json = object;
	error = Objection(check, TypeOf(check), Convert, &conversion);
	if (error == NULL)
		return;
	if (!present && error->sqlerrcode == ERRCODE_NOT_NULL_VIOLATION)
		FieldMissing(&check->problems, name);
	else
		ProblemAdd(&check->problems, "Field \"%s\": %s.", name, error->message);
}

/* Is a field declared beside the type? */
static bool
IsDeclared(const PayloadCheck *check, const char *name)
{
	JsonbValue type;

	return (check->contract.required_fields != NULL &&
			MemberOf((Jsonb *) check->contract.required_fields, name, &type) != NULL) ||
		   (check->contract.optional_fields != NULL &&
			MemberOf((Jsonb *) check->contract.optional_fields, name, &type) != NULL);
}

/* Name the members of an object that the type does not have. */
static void
CheckUnknown(PayloadCheck *check, TupleDesc desc, Jsonb *object, const char *path)
{
	JsonbIterator	  *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue		   key;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		char *name;
		bool  known;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		known = path[0] == '\0' && IsDeclared(check, name);
		for (int i = 0; i < desc->natts && !known; i++)
			known = !TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0;
		if (!known)
			ProblemAdd(&check->problems, "Field \"%s%s\" is unknown.", path, name);
	}
}

/*
 * Compare an object's members with a composite type's attributes; "convert": try
 * each, because not all are right.
 */
static void
CheckMembers(PayloadCheck *check, Oid type, Jsonb *object, const char *path, bool convert)
{
	TupleDesc desc = lookup_rowtype_tupdesc_copy(type, -1);

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			CheckMember(check, TupleDescAttr(desc, i), object, path, convert);
	CheckUnknown(check, desc, object, path);
}

static void
CheckType(PayloadCheck *check, Jsonb *payload)
{
	ErrorData *error;

	if (OidIsValid(check->base) && !JB_ROOT_IS_OBJECT(payload))
	{
		ProblemAdd(&check->problems, "The payload is not an object.");
		return;
	}
	check->whole.json = OidIsValid(check->base) ? payload : Wrap(payload);
	error = Objection(check, TypeOf(check), Convert, &check->whole);
	if (OidIsValid(check->base))
		CheckMembers(check, check->base, payload, "", error != NULL);
	if (error != NULL && check->problems.count == 0)
		ProblemAdd(&check->problems, "The payload: %s.", error->message);
}

/* validator ---------------------------------------------------------------- */

static void
CheckByValidator(PayloadCheck *check, Jsonb *payload)
{
	ErrorData *error;

	check->validation.payload = payload;
	error = Objection(check, psprintf("validator %s", check->contract.validator), Validate, &check->validation);
	if (error != NULL)
		ProblemAdd(&check->problems, "%s", error->message);
	else if (!check->validation.valid && check->validation.reason != NULL)
		ProblemAdd(&check->problems, "%s", check->validation.reason);
	else if (!check->validation.valid)
		ProblemAdd(&check->problems, "Validator %s refuses it.", check->contract.validator);
}

/* check -------------------------------------------------------------------- */

static char *
CopyOrNull(const char *string)
{
	return string == NULL ? NULL : pstrdup(string);
}

static struct varlena *
CopyJsonOrNull(struct varlena *json)
{
	return json == NULL ? NULL : PG_DETOAST_DATUM_COPY(PointerGetDatum(json));
}

/*
 * Make a copy of the contract, which outlives what users' code may do to the
 * registry, with all that is needed to check payloads by it.
 */
static void
Begin(PayloadCheck *check, const TaskqHandler *handler)
{
	TaskqContract *contract = &check->contract;
	const char	  *refusal;

	memset(check, 0, sizeof(*check));
	strlcpy(check->task_type, handler->task_type, sizeof(check->task_type));
	*contract = *handler->contract;
	contract->payload_type = CopyOrNull(contract->payload_type);
	contract->validator = CopyOrNull(contract->validator);
	contract->required_fields = CopyJsonOrNull(contract->required_fields);
	contract->optional_fields = CopyJsonOrNull(contract->optional_fields);
	check->code.role = HandlerRole(handler);
	check->code.search_path = CopyOrNull(handler->search_path);

	refusal = ContractHold(contract, check->code.role, handler->registered_by);
	if (refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("payloads of task type \"%s\" cannot be checked", check->task_type),
				 errdetail("Their contract is %s.", refusal),
				 errhint("Make it as it was, or register the handler anew; a queue with validate_payloads => false takes them unchecked.")));
	if (contract->payload_type != NULL)
	{
		Oid type = contract->payload_type_oid;
		Oid base = getBaseType(type);

		if (get_typtype(base) == TYPTYPE_COMPOSITE)
		{
			check->base = base;
			ConversionInit(&check->whole, lookup_rowtype_tupdesc_copy(base, -1));
			check->whole.domain = base != type ? type : InvalidOid;
		}
		else
			ConversionInit(&check->whole, DescOfOne("payload", type, -1, get_typcollation(type)));
	}
	if (contract->validator != NULL)
	{
		fmgr_info(contract->validator_oid, &check->validation.flinfo);
		check->validation.returns_text = get_func_rettype(contract->validator_oid) == TEXTOID;
	}
}

/* Add to the problems all that is wrong with one payload. */
static void
CheckOne(PayloadCheck *check, Jsonb *payload)
{
	struct varlena *json = (struct varlena *) payload;

	check->code.time_limit = (int64) taskq_validation_timeout * 1000;
	check->code.until = ClockNow() + check->code.time_limit;
	ProblemsInit(&check->problems);
	FieldsCheck(&check->problems, json, check->contract.required_fields, true);
	FieldsCheck(&check->problems, json, check->contract.optional_fields, false);
	if (check->contract.payload_type != NULL)
		CheckType(check, payload);

	/* a validator may count on what is declared */
	if (check->contract.validator != NULL && check->problems.count == 0)
		CheckByValidator(check, payload);
}

/* expected ----------------------------------------------------------------- */

/* Add "name (type)" to a list. */
static void
ListField(StringInfo list, const char *name, const char *type)
{
	appendStringInfo(list, "%s\"%s\" (%s)", list->len > 0 ? ", " : "", name, type);
}

/* Add the fields that are declared beside the type. */
static void
ListDeclared(StringInfo list, struct varlena *fields)
{
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   value;
	char			  *name = NULL;

	if (fields == NULL)
		return;
	it = JsonbIteratorInit(&((Jsonb *) fields)->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			ListField(list, name, pnstrdup(value.val.string.val, value.val.string.len));
}

/* Add the columns of the type, those that must be there and those that may. */
static void
ListColumns(const PayloadCheck *check, StringInfo needed, StringInfo allowed)
{
	TupleDesc desc = lookup_rowtype_tupdesc_copy(check->base, -1);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && !IsDeclared(check, NameStr(attribute->attname)))
			ListField(IsNeeded(attribute) ? needed : allowed, NameStr(attribute->attname),
					  format_type_with_typemod(attribute->atttypid, attribute->atttypmod));
	}
}

/* What a payload is to be, for a producer, who may not read the registry. */
static const char *
WhatIsExpected(const PayloadCheck *check)
{
	StringInfoData needed;
	StringInfoData allowed;
	StringInfoData hint;

	initStringInfo(&needed);
	initStringInfo(&allowed);
	initStringInfo(&hint);
	if (check->contract.payload_type != NULL && !OidIsValid(check->base))
		return psprintf("The payload must be of type %s.", check->contract.payload_type);
	ListDeclared(&needed, check->contract.required_fields);
	ListDeclared(&allowed, check->contract.optional_fields);
	if (OidIsValid(check->base))
		ListColumns(check, &needed, &allowed);
	if (needed.len > 0)
		appendStringInfo(&hint, "It must have %s.", needed.data);
	if (allowed.len > 0)
		appendStringInfo(&hint, "%sIt may have %s.", hint.len > 0 ? " " : "", allowed.data);
	if (hint.len == 0)
		appendStringInfo(&hint, "Validator %s decides.", check->contract.validator);
	if (hint.len > MAX_HINT)
	{
		hint.data[pg_mbcliplen(hint.data, hint.len, MAX_HINT)] = '\0';
		return psprintf("%s ...", hint.data);
	}
	return hint.data;
}

static void
DescribeCheck(void *arg)
{
	errcontext("taskq checking a payload of task type \"%s\"", ((PayloadCheck *) arg)->task_type);
}

/*
 * Check payloads by what their task type's handler expects; the first that is
 * not so is an error which says all that is wrong with it.
 */
void
PayloadsCheck(const char *task_type, const Datum *payloads, int n)
{
	const TaskqHandler	*handler = HandlerFind(task_type);
	PayloadCheck		 check;
	MemoryContext		 context;
	MemoryContext		 each;
	ErrorContextCallback callback = { .callback = DescribeCheck, .arg = &check };

	if (handler == NULL || handler->contract == NULL)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "taskq payload check", ALLOCSET_SMALL_SIZES);
	each = AllocSetContextCreate(context, "taskq payload", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	Begin(&check, handler);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(each);
		MemoryContextSwitchTo(each);
		CheckOne(&check, DatumGetJsonbP(payloads[i]));
		if (check.problems.count == 0)
			continue;
		error_context_stack = callback.previous;
		ereport(ERROR,
				(errcode(ERRCODE_TQ_INVALID_PAYLOAD),
				 n > 1 ? errmsg("payload %d is not valid for task type \"%s\"", i + 1, check.task_type) : errmsg("the payload is not valid for task type \"%s\"", check.task_type),
				 errdetail("%s", check.problems.text.data),
				 errhint("%s", WhatIsExpected(&check))));
	}
	error_context_stack = callback.previous;
	ContractRelease(&check.contract);
	MemoryContextSwitchTo(MemoryContextGetParent(context));
	MemoryContextDelete(context);
}

/* Would enqueue_job() take this?  Without a payload: is the type registered? */
Datum
taskq_validate_task(PG_FUNCTION_ARGS)
{
	char *task_type;

	CheckArgCount(fcinfo, 2);
	task_type = ArgName(fcinfo, 0, "task type");
	if (HandlerFind(task_type) == NULL)
		HandlerRefuseUnregistered(task_type);
	if (!PG_ARGISNULL(1))
	{
		Datum payload = PointerGetDatum(ArgJson(fcinfo, 1, "payload"));

		PayloadsCheck(task_type, &payload, 1);
	}
	PG_RETURN_VOID();
}
