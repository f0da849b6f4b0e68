/*
 * fields.c
 *	  Fields that a payload must or may have, and their JSON types.
 *
 * required_fields and optional_fields are objects.  Their keys are names of fields,
 * and each value is the name of a type, or names of several types separated by "|".
 */
#include "taskq.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "mb/pg_wchar.h"

#include "config/fields.h"

#define FIELD_TYPES "string, number, integer, boolean, object, array, null and any"
#define MAX_PROBLEMS 100
#define MAX_SENTENCE 500 /* bytes; a sentence can quote the payload */

/* problems ----------------------------------------------------------------- */

void
ProblemsInit(Problems *problems)
{
	initStringInfo(&problems->text);
	problems->count = 0;
}

/* Add a sentence to the problems, unless it is there already or there are too many. */
void
ProblemAdd(Problems *problems, const char *format, ...)
{
	StringInfoData sentence;
	va_list		   args;
	int			   needed;

	initStringInfo(&sentence);
	for (;;)
	{
		va_start(args, format);
		needed = appendStringInfoVA(&sentence, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&sentence, needed);
	}
	if (sentence.len > MAX_SENTENCE)
	{
		sentence.len = pg_mbcliplen(sentence.data, sentence.len, MAX_SENTENCE);
		sentence.data[sentence.len] = '\0';
		appendStringInfoString(&sentence, " ...");
	}
	if (problems->count > MAX_PROBLEMS || strstr(problems->text.data, sentence.data) != NULL)
		return;
	if (problems->count++ == MAX_PROBLEMS)
		appendStringInfoString(&problems->text, " And so on.");
	else
		appendStringInfo(&problems->text, "%s%s", problems->text.len > 0 ? " " : "", sentence.data);
}

/* Is there a problem with a field already? */
bool
FieldIsNamed(const Problems *problems, const char *field)
{
	return strstr(problems->text.data, psprintf("Field \"%s\"", field)) != NULL;
}

void
FieldMissing(Problems *problems, const char *field)
{
	ProblemAdd(problems, "Field \"%s\" is missing.", field);
}

/* types -------------------------------------------------------------------- */

static const char *
TypeOfValue(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return "null";
		case jbvString:
			return "string";
		case jbvNumeric:
			return "number";
		case jbvBool:
			return "boolean";
		default:
			return JsonContainerIsArray(value->val.binary.data) ? "array" : "object";
	}
}

static bool
IsInteger(Numeric number)
{
	Datum whole = DirectFunctionCall2(numeric_trunc, NumericGetDatum(number), Int32GetDatum(0));

	return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(number), whole));
}

/* Is a value of this type, or of one of several types separated by "|"? */
static bool
IsOfType(const JsonbValue *value, const char *types)
{
	const char *actual = TypeOfValue(value);
	const char *type = types;

	for (;;)
	{
		int len = strcspn(type, "|");

		if ((len == 3 && strncmp(type, "any", 3) == 0) ||
			(len == strlen(actual) && strncmp(type, actual, len) == 0) ||
			(len == 7 && strncmp(type, "integer", 7) == 0 && value->type == jbvNumeric && IsInteger(value->val.numeric)))
			return true;
		if (type[len] == '\0')
			return false;
		type += len + 1;
	}
}

static bool
IsTypeWord(const char *word, int len)
{
	static const char *const words[] = { "string", "number", "integer", "boolean", "object", "array", "null", "any" };

	for (int i = 0; i < lengthof(words); i++)
		if (len == strlen(words[i]) && strncmp(word, words[i], len) == 0)
			return true;
	return false;
}

/* register ----------------------------------------------------------------- */

static char *
KeyString(const JsonbValue *key)
{
	return pnstrdup(key->val.string.val, key->val.string.len);
}

static void
RefuseDeclared(const char *what, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s is not a list of fields", what),
			 errdetail("%s", detail),
			 errhint("It is an object such as {\"amount\": \"number\", \"note\": \"string|null\"}; types are %s.", FIELD_TYPES)));
}

static void
CheckType(const char *what, const char *field, const JsonbValue *type)
{
	char *types;

	if (type->type != jbvString)
		RefuseDeclared(what, psprintf("The type of field \"%s\" is not a string.", field));
	types = KeyString(type);
	for (const char *word = types;; word++)
	{
		int len = strcspn(word, "|");

		if (!IsTypeWord(word, len))
			RefuseDeclared(what, psprintf("Field \"%s\" has the unknown type \"%.*s\".", field,
										  pg_mbcliplen(word, len, MAX_SENTENCE), word));
		word += len;
		if (*word == '\0')
			return;
	}
}

/* Check each member of an object of fields.  "other" must not have any of them. */
static void
CheckDeclared(const char *what, struct varlena *fields, Jsonb *other)
{
	Jsonb			  *jsonb = (Jsonb *) fields;
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   key;
	JsonbValue		   type;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		RefuseDeclared(what, "It is not an object.");
	it = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		JsonbValue also;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &type, true);
		CheckType(what, KeyString(&key), &type);
		if (other != NULL && getKeyJsonValueFromContainer(&other->root, key.val.string.val, key.val.string.len, &also) != NULL)
			RefuseDeclared(what, psprintf("Field \"%s\" is in required_fields as well.", KeyString(&key)));
	}
}

/* Check that required_fields and optional_fields name fields and types. */
void
FieldsCheckDeclared(struct varlena *required, struct varlena *optional)
{
	if (required != NULL)
		CheckDeclared("required_fields", required, NULL);
	if (optional != NULL)
		CheckDeclared("optional_fields", optional, (Jsonb *) required);
}

/* check -------------------------------------------------------------------- */

/* Check the fields of a payload, and add what is wrong with them to the problems. */
void
FieldsCheck(Problems *problems, struct varlena *payload, struct varlena *fields, bool required)
{
	Jsonb			  *jsonb = (Jsonb *) payload;
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   key;
	JsonbValue		   type;

	if (fields == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(jsonb))
	{
		ProblemAdd(problems, "The payload is not an object.");
		return;
	}
	it = JsonbIteratorInit(&((Jsonb *) fields)->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		JsonbValue value;
		char	  *field;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &type, true);
		field = KeyString(&key);
		if (getKeyJsonValueFromContainer(&jsonb->root, key.val.string.val, key.val.string.len, &value) == NULL)
		{
			if (required)
				FieldMissing(problems, field);
		}
		else if (!IsOfType(&value, KeyString(&type)))
			ProblemAdd(problems, "Field \"%s\" must be %s, not %s.", field, KeyString(&type), TypeOfValue(&value));
	}
}
