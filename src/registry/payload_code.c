/*
 * payload_code.c
 *	  Check payloads by their payload type and by a validator.
 *
 * A payload is converted to its type by jsonb_to_record().  If that fails for the
 * whole payload, each member is converted by itself, to report all that are wrong.
 * Users' code runs through UserCodeRun().
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "registry/payload_code.h"

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

	/* Looked up here, so that compiled.c sees the calls. */
	if (!OidIsValid(validation->flinfo.fn_oid))
		fmgr_info_cxt(validation->function, &validation->flinfo, validation->context);
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
 * Run one of the two functions above.  Returns NULL, or the error by which users'
 * code refuses the payload: bad data, a violated constraint, or an error that
 * PL/pgSQL code raises.  Any other error is a fault of the code, and is raised again.
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

/* Return the name of the payload type, for messages. */
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

/* Make the descriptor of a row with one column. */
static TupleDesc
DescOfOne(const char *name, Oid type, int32 typmod, Oid collation)
{
	TupleDesc desc = CreateTemplateTupleDesc(1);

	TupleDescInitEntry(desc, 1, name, type, typmod, 0);
	TupleDescInitEntryCollation(desc, 1, collation);
	TupleDescFinalize_compat(desc);
	return desc;
}

/* Make the object {"payload": ...}, for payload types that are not composite. */
static Jsonb *
Wrap(Jsonb *payload)
{
	Datum name = CStringGetTextDatum("payload");

	return DatumGetJsonbP(DirectFunctionCall4(jsonb_set, DirectFunctionCall1(jsonb_in, CStringGetDatum("{\"payload\": null}")),
											  PointerGetDatum(construct_array(&name, 1, TEXTOID, -1, false, TYPALIGN_INT)),
											  JsonbPGetDatum(payload), BoolGetDatum(true)));
}

/* Find a member of an object.  Returns NULL if the object has none of that name. */
static JsonbValue *
MemberOf(Jsonb *object, const char *name, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(&object->root, name, strlen(name), value);
}

/* Return whether a payload must have a member for this column: it is NOT NULL and has no default. */
bool
PayloadNeeds(Form_pg_attribute attribute)
{
	return attribute->attnotnull && !attribute->atthasdef && attribute->attidentity == '\0';
}

static void CheckMembers(PayloadCheck *check, Oid type, Jsonb *object, const char *path, bool convert);

/*
 * Check the member for one attribute of a composite type, and the members inside it.
 * "path" is the path to the object, for messages.  With "convert", also try to
 * convert the member.
 */
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

	if (!present && PayloadNeeds(attribute))
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

/* Return whether a field is declared in addition to the type. */
bool
PayloadDeclares(const PayloadCheck *check, const char *name)
{
	JsonbValue type;

	return (check->contract.required_fields != NULL &&
			MemberOf((Jsonb *) check->contract.required_fields, name, &type) != NULL) ||
		   (check->contract.optional_fields != NULL &&
			MemberOf((Jsonb *) check->contract.optional_fields, name, &type) != NULL);
}

/* Add a problem for each member of an object for which the type has no attribute. */
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
		known = path[0] == '\0' && PayloadDeclares(check, name);
		for (int i = 0; i < desc->natts && !known; i++)
			known = !TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0;
		if (!known)
			ProblemAdd(&check->problems, "Field \"%s%s\" is unknown.", path, name);
	}
}

/*
 * Compare the members of an object with the attributes of a composite type.  With
 * "convert", also try to convert each member, because converting the whole failed.
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

void
PayloadCheckType(PayloadCheck *check, Jsonb *payload)
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

void
PayloadCheckByValidator(PayloadCheck *check, Jsonb *payload)
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

/* begin -------------------------------------------------------------------- */

/* Prepare the calls that check payloads by the contract in the check. */
void
PayloadCodeBegin(PayloadCheck *check)
{
	const TaskqContract *contract = &check->contract;

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
		check->validation.function = contract->validator_oid;
		check->validation.context = CurrentMemoryContext;
		check->validation.flinfo.fn_oid = InvalidOid;
		check->validation.returns_text = get_func_rettype(contract->validator_oid) == TEXTOID;
	}
}
