/*
 * key_values.c
 *	  Reading JSON that has something for single values of keys of jobs.
 *
 * The names of an object are values of the key, and for two keys those of the second one are
 * inside those of the first.
 */
#include "taskq.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/args.h"
#include "config/key_values.h"

static int
CompareKeys(const void *a, const void *b)
{
	const JobKeys *left = a;
	const JobKeys *right = b;
	int			   result = strcmp(left->tenant_id, right->tenant_id);

	return result != 0 ? result : strcmp(left->group_key, right->group_key);
}

/* Copy the name of a member of an object.  Returns false if it cannot be a value of a key. */
static bool
CopyName(const JsonbValue *name, char *copy)
{
	if (name->val.string.len == 0 || name->val.string.len > TASKQ_NAME_MAX)
		return false;
	memcpy(copy, name->val.string.val, name->val.string.len);
	copy[name->val.string.len] = '\0';
	return IsName(copy);
}

static int
CompareToInt(Datum number, int32 other)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, number, DirectFunctionCall1(int4_numeric, Int32GetDatum(other))));
}

/* Read a whole number from "least" to "most". */
bool
ReadWholeNumber(const JsonbValue *value, int32 least, int32 most, int32 *number)
{
	Datum whole;

	if (value->type != jbvNumeric)
		return false;
	whole = DirectFunctionCall2(numeric_trunc, NumericGetDatum(value->val.numeric), Int32GetDatum(0));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, whole, NumericGetDatum(value->val.numeric))) ||
		CompareToInt(whole, least) < 0 || CompareToInt(whole, most) > 0)
		return false;
	*number = DatumGetInt32(DirectFunctionCall1(numeric_int4, whole));
	return true;
}

/* Read the item of one value. */
static bool
ReadItem(KeyReading *reading, const JobKeys *keys, const JsonbValue *value)
{
	char *item = reading->items + reading->n * reading->item_size;

	if (reading->n == MAX_KEY_NUMBERS)
	{
		reading->problem = psprintf("There are more than %d values", MAX_KEY_NUMBERS);
		return false;
	}
	memcpy(item, keys, sizeof(JobKeys));
	reading->n++;
	return reading->read(reading, value, item);
}

/* Read an object whose names are values of a key, and for two keys objects of the second one. */
static bool
ReadObject(KeyReading *reading, JsonbContainer *object, uint8 key, const JobKeys *outer)
{
	JsonbIterator	  *it = JsonbIteratorInit(object);
	JsonbValue		   item;
	JsonbIteratorToken token = JsonbIteratorNext(&it, &item, true);
	bool			   is_outer = reading->keys == (KEY_TENANT | KEY_GROUP) && key == KEY_TENANT;

	if (token != WJB_BEGIN_OBJECT)
	{
		reading->problem = "They must be a JSON object";
		return false;
	}
	while ((token = JsonbIteratorNext(&it, &item, true)) == WJB_KEY)
	{
		JobKeys keys = *outer;

		if (!CopyName(&item, key == KEY_TENANT ? keys.tenant_id : keys.group_key))
		{
			reading->problem = psprintf("\"%.*s\" is not a valid name", item.val.string.len, item.val.string.val);
			return false;
		}
		(void) JsonbIteratorNext(&it, &item, true);
		if (is_outer && item.type != jbvBinary)
		{
			reading->problem = "The value of each tenant must be an object whose names are group keys";
			return false;
		}
		if (is_outer ? !ReadObject(reading, item.val.binary.data, KEY_GROUP, &keys) : !ReadItem(reading, &keys, &item))
			return false;
	}
	return true;
}

/* Read what there is for values of keys.  Returns false and reading->problem if it is wrong. */
bool
KeyValuesRead(KeyReading *reading, struct varlena *json)
{
	JobKeys none = { 0 };

	if (json == NULL)
		return true;
	reading->items = palloc0(reading->item_size * MAX_KEY_NUMBERS);
	if (!ReadObject(reading, &((Jsonb *) json)->root, reading->keys & KEY_TENANT ? KEY_TENANT : KEY_GROUP, &none))
		return false;
	qsort(reading->items, reading->n, reading->item_size, CompareKeys);

	/* the caller may keep the items as long as the session lasts */
	reading->items = repalloc(reading->items, reading->item_size * Max(reading->n, 1));
	return true;
}

/* Find the item with these keys, or return NULL. */
const void *
KeyValuesFind(const JobKeys *keys, const void *items, int n, Size item_size)
{
	return n == 0 ? NULL : bsearch(keys, items, n, item_size, CompareKeys);
}
