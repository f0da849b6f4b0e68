/*
 * result.c
 *	  Build and read what a handler returns: a plain result, or a value of success(),
 *	  failure(), snooze() or decision().
 *
 * The values of these functions are jsonb objects with a member "$taskq", so that
 * handlers in all languages can return them.  Any other value is a plain result.  So
 * is an object with that member that these functions have not built in the same run,
 * because it may come from outside (built.c).
 */
#include "taskq.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/guc.h"
#include "base/json.h"
#include "base/signature.h"
#include "job/built.h"
#include "settle/result.h"

PG_FUNCTION_INFO_V1(taskq_success);
PG_FUNCTION_INFO_V1(taskq_failure);
PG_FUNCTION_INFO_V1(taskq_snooze);

/* build -------------------------------------------------------------------- */

/* Begin a value that says what becomes of the run. */
void
ResultBegin(StringInfo json, const char *tag)
{
	JsonBegin(json);
	JsonAddText(json, RESULT_TAG, tag);
	JsonAddText(json, RESULT_NONCE, BuiltNonce());
}

/* End it, and note that it was built here. */
Datum
ResultEnd(StringInfo json)
{
	Jsonb *value = JsonEnd(json);

	BuiltNote(value);
	return JsonbPGetDatum(value);
}

Datum
taskq_success(PG_FUNCTION_ARGS)
{
	StringInfoData json;

	CheckCall(fcinfo);
	ResultBegin(&json, "success");
	if (!PG_ARGISNULL(0))
		JsonAddJsonb(&json, "result", PG_GETARG_VARLENA_P(0));
	PG_RETURN_DATUM(ResultEnd(&json));
}

Datum
taskq_failure(PG_FUNCTION_ARGS)
{
	StringInfoData json;
	char		  *error_type;

	CheckCall(fcinfo);
	error_type = ArgNameOrNull(fcinfo, 1, "error_type");
	ResultBegin(&json, "failure");
	JsonAddText(&json, "message", ArgErrorTextOrNull(fcinfo, 0));
	JsonAddText(&json, "error_type", error_type);
	JsonAddText(&json, "error_code", ArgErrorTextOrNull(fcinfo, 2));
	if (!PG_ARGISNULL(3))
		JsonAddText(&json, "retryable", PG_GETARG_BOOL(3) ? "true" : "false");
	if (ArgMicroseconds(fcinfo, 4, "retry_in", 0) != NO_MICROSECONDS)
		JsonAddText(&json, "retry_in", DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(4))));
	JsonAddText(&json, "detail", ArgErrorTextOrNull(fcinfo, 5));
	JsonAddText(&json, "hint", ArgErrorTextOrNull(fcinfo, 6));
	PG_RETURN_DATUM(ResultEnd(&json));
}

Datum
taskq_snooze(PG_FUNCTION_ARGS)
{
	StringInfoData json;

	CheckCall(fcinfo);
	if (ArgMicroseconds(fcinfo, 0, "delay", 0) == NO_MICROSECONDS)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("delay must not be NULL"),
				 errhint("Leave it out to run again as soon as possible.")));
	ResultBegin(&json, "snooze");
	JsonAddText(&json, "delay", DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(0))));
	PG_RETURN_DATUM(ResultEnd(&json));
}

/* reading ------------------------------------------------------------------ */

/* Return a member of an object as a C string.  Returns NULL if there is none or it is not a string. */
char *
ResultMember(Jsonb *jsonb, const char *key)
{
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(jsonb) ||
		getKeyJsonValueFromContainer(&jsonb->root, key, strlen(key), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

bool
ResultHasTag(Jsonb *result, const char *tag)
{
	char *have = ResultMember(result, RESULT_TAG);

	return have != NULL && strcmp(have, tag) == 0;
}

/*
 * Return whether the result is a value of success(), failure(), snooze() or
 * decision().  If it has their tag but was not built by them, raise a notice, because
 * somebody may have built it by hand.
 */
bool
ResultIsMeant(Jsonb *result)
{
	if (ResultMember(result, RESULT_TAG) == NULL)
		return false;
	if (BuiltHere(result))
		return true;
	ereport(NOTICE,
			(errmsg("the result has a member \"" RESULT_TAG "\" and is kept as it is"),
			 errdetail("Only values that success(), failure(), snooze() or decision() have built in the same run are treated otherwise."),
			 errhint("Return what one of these functions returns, unchanged.")));
	return false;
}

/* Return the argument of success() from its value; NULL if there was none. */
struct varlena *
ResultOfSuccess(Jsonb *success)
{
	JsonbValue value;

	Assert(ResultHasTag(success, "success"));
	if (getKeyJsonValueFromContainer(&success->root, "result", strlen("result"), &value) == NULL)
		return NULL;
	return (struct varlena *) JsonbValueToJsonb(&value);
}

/*
 * Return the error message for a result that is too large to be stored, and set
 * *detail to its detail.  Returns NULL if the result is not too large.
 */
char *
ResultTooLarge(struct varlena *result, char **detail)
{
	Size size = toast_raw_datum_size(PointerGetDatum(result)) - VARHDRSZ;

	if (size <= taskq_max_result_size)
		return NULL;
	*detail = psprintf("taskq.max_result_size is %d bytes.", taskq_max_result_size);
	return psprintf("result of %zu bytes is too large", size);
}
