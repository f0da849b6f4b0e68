/*
 * json.c
 *	  Build jsonb objects.
 *
 * An object is built as text, member by member: JsonBegin(), JsonAdd...(), JsonEnd().
 */
#include "taskq.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

#include "base/json.h"

/* Begin an object. */
void
JsonBegin(StringInfo json)
{
	initStringInfo(json);
	appendStringInfoChar(json, '{');
}

static void
AddKey(StringInfo json, const char *key)
{
	if (json->len > 1)
		appendStringInfoString(json, ", ");
	escape_json(json, key);
	appendStringInfoString(json, ": ");
}

/* Add a string, or nothing if text is NULL. */
void
JsonAddText(StringInfo json, const char *key, const char *text)
{
	if (text == NULL)
		return;
	AddKey(json, key);
	escape_json(json, text);
}

/* Add a string, or null if text is NULL. */
void
JsonAddTextOrNull(StringInfo json, const char *key, const char *text)
{
	if (text != NULL)
		JsonAddText(json, key, text);
	else
		JsonAddRaw(json, key, "null");
}

/* Add an array of strings. */
void
JsonAddTexts(StringInfo json, const char *key, char **texts, int n)
{
	AddKey(json, key);
	appendStringInfoChar(json, '[');
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoString(json, ", ");
		escape_json(json, texts[i]);
	}
	appendStringInfoChar(json, ']');
}

void
JsonAddInt(StringInfo json, const char *key, int value)
{
	AddKey(json, key);
	appendStringInfo(json, "%d", value);
}

/* Add a jsonb value, or nothing if it is NULL. */
void
JsonAddJsonb(StringInfo json, const char *key, const struct varlena *value)
{
	Jsonb *jsonb;

	if (value == NULL)
		return;
	jsonb = DatumGetJsonbP(PointerGetDatum(value));
	AddKey(json, key);
	(void) JsonbToCString(json, &jsonb->root, VARSIZE(jsonb));
}

/* Add a value that is JSON already. */
void
JsonAddRaw(StringInfo json, const char *key, const char *value)
{
	AddKey(json, key);
	appendStringInfoString(json, value);
}

/* End the object, and return it in the current memory context. */
Jsonb *
JsonEnd(StringInfo json)
{
	appendStringInfoChar(json, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json->data)));
}
