/*
 * payload.c
 *	  Check payloads by the contract of their task type's handler, before a job is
 *	  written.  So a mistake is an error for the producer, not a failed attempt later.
 */
#include "taskq.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/typcache.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/signature.h"
#include "config/handler.h"
#include "registry/payload.h"
#include "registry/payload_code.h"

PG_FUNCTION_INFO_V1(taskq_validate_task);

#define MAX_HINT 2000 /* bytes */

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
 * Prepare to check payloads by the handler's contract.  The contract is copied,
 * because the registry may be reloaded while users' code runs.
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
	PayloadCodeBegin(check);
}

/* Check one payload, and collect all that is wrong with it in check->problems. */
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
		PayloadCheckType(check, payload);

	/* Call the validator only for payloads that have the declared fields and type. */
	if (check->contract.validator != NULL && check->problems.count == 0)
		PayloadCheckByValidator(check, payload);
}

/* expected ----------------------------------------------------------------- */

/* Add "name (type)" to a list. */
static void
ListField(StringInfo list, const char *name, const char *type)
{
	appendStringInfo(list, "%s\"%s\" (%s)", list->len > 0 ? ", " : "", name, type);
}

/* Add the fields that are declared in addition to the type. */
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

/* Add the columns of the type to two lists: those that a payload must have, and those that it may have. */
static void
ListColumns(const PayloadCheck *check, StringInfo needed, StringInfo allowed)
{
	TupleDesc desc = lookup_rowtype_tupdesc_copy(check->base, -1);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && !PayloadDeclares(check, NameStr(attribute->attname)))
			ListField(PayloadNeeds(attribute) ? needed : allowed, NameStr(attribute->attname),
					  format_type_with_typemod(attribute->atttypid, attribute->atttypmod));
	}
}

/* Return the hint that says how a payload must be, for producers who cannot read the registry. */
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
 * Check payloads by the contract of their task type's handler.  Raise an error for
 * the first payload that does not conform, with all that is wrong with it.
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

/* SQL-callable validate_task(): check that the type is registered, and check the payload if one is given. */
Datum
taskq_validate_task(PG_FUNCTION_ARGS)
{
	char *task_type;

	CheckCall(fcinfo);
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
