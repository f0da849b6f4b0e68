/*
 * limit_keys.c
 *	  Keys of jobs, each of whose values has a limit of its own.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "base/names.h"
#include "config/limit.h"

static const char *const key_names[] = { "tenant_id", "group_key" }; /* KEY_TENANT, KEY_GROUP */

/* Return a key by its name, or 0. */
uint8
LimitKeyOf(const char *name)
{
	for (int k = 0; k < lengthof(key_names); k++)
		if (strcmp(name, key_names[k]) == 0)
			return 1 << k;
	return 0;
}

/* Return a set of keys by their names.  Other names are passed over. */
uint8
LimitKeysOf(ArrayType *for_each)
{
	uint8  keys = 0;
	Datum *elements;
	bool  *nulls;
	int	   n;

	if (for_each == NULL)
		return 0;
	deconstruct_array(for_each, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			keys |= LimitKeyOf(TextDatumGetCString(elements[i]));
	return keys;
}

/* Return the names of a set of keys, sorted, or NULL if it is empty. */
ArrayType *
LimitKeyNames(uint8 keys)
{
	Datum names[lengthof(key_names)];
	int	  n = 0;

	for (int k = lengthof(key_names) - 1; k >= 0; k--)
		if ((keys & (1 << k)) != 0)
			names[n++] = CStringGetTextDatum(key_names[k]);
	return n == 0 ? NULL : construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT);
}

static int
CompareKeys(const JobKeys *a, const JobKeys *b)
{
	int result = strcmp(a->tenant_id, b->tenant_id);

	return result != 0 ? result : strcmp(a->group_key, b->group_key);
}

static int
CompareOverrides(const void *a, const void *b)
{
	return CompareKeys(&((const LimitOverride *) a)->keys, &((const LimitOverride *) b)->keys);
}

/* overrides ------------------------------------------------------------------- */

typedef struct Reading
{
	uint8		   for_each;
	LimitOverride *overrides;
	int			   n;
	int			   max;
	const char	  *problem;
} Reading;

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

/* Read a whole number from 0 to MAX_CONCURRENCY. */
static bool
ReadNumber(const JsonbValue *value, int32 *number)
{
	Datum whole;

	if (value->type != jbvNumeric)
		return false;
	whole = DirectFunctionCall2(numeric_trunc, NumericGetDatum(value->val.numeric), Int32GetDatum(0));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, whole, NumericGetDatum(value->val.numeric))) ||
		DatumGetInt32(DirectFunctionCall2(numeric_cmp, whole, DirectFunctionCall1(int4_numeric, Int32GetDatum(0)))) < 0 ||
		DatumGetInt32(DirectFunctionCall2(numeric_cmp, whole, DirectFunctionCall1(int4_numeric, Int32GetDatum(MAX_CONCURRENCY)))) > 0)
		return false;
	*number = DatumGetInt32(DirectFunctionCall1(numeric_int4, whole));
	return true;
}

/* Read an object whose names are values of a key, and for two keys objects of the second one. */
static bool
ReadObject(Reading *reading, JsonbContainer *object, uint8 key, const JobKeys *outer)
{
	JsonbIterator	  *it = JsonbIteratorInit(object);
	JsonbValue		   item;
	JsonbIteratorToken token = JsonbIteratorNext(&it, &item, true);
	bool			   is_outer = reading->for_each == (KEY_TENANT | KEY_GROUP) && key == KEY_TENANT;

	if (token != WJB_BEGIN_OBJECT)
	{
		reading->problem = "They must be a JSON object whose names are values of the key";
		return false;
	}
	while ((token = JsonbIteratorNext(&it, &item, true)) == WJB_KEY)
	{
		LimitOverride read = { .keys = *outer };

		if (!CopyName(&item, key == KEY_TENANT ? read.keys.tenant_id : read.keys.group_key))
		{
			reading->problem = psprintf("\"%.*s\" cannot be a value of %s, because it is not a valid name", item.val.string.len, item.val.string.val,
										key_names[key == KEY_TENANT ? 0 : 1]);
			return false;
		}
		(void) JsonbIteratorNext(&it, &item, true);
		if (is_outer && item.type == jbvBinary)
		{
			if (!ReadObject(reading, item.val.binary.data, KEY_GROUP, &read.keys))
				return false;
			continue;
		}
		if (is_outer || !ReadNumber(&item, &read.concurrency))
		{
			reading->problem = is_outer ? "The value of each tenant must be an object whose names are group keys"
										: psprintf("Each number must be a whole number from 0 to %d", MAX_CONCURRENCY);
			return false;
		}
		if (reading->n == reading->max)
		{
			reading->problem = psprintf("There are more than %d values", MAX_OVERRIDES);
			return false;
		}
		reading->overrides[reading->n++] = read;
	}
	return true;
}

/*
 * Read the overrides of a limit for each value of these keys, in the order of the values.
 * Returns false and what is wrong with them.
 */
bool
OverridesRead(struct varlena *json, uint8 for_each, LimitOverride **overrides, int *n, const char **problem)
{
	Reading reading = { .for_each = for_each, .max = MAX_OVERRIDES };
	JobKeys none = { 0 };

	*overrides = NULL;
	*n = 0;
	*problem = NULL;
	if (json == NULL)
		return true;
	if (for_each == 0)
	{
		*problem = "The limit is not for each value of a key";
		return false;
	}
	reading.overrides = palloc(sizeof(LimitOverride) * MAX_OVERRIDES);
	if (!ReadObject(&reading, &((Jsonb *) json)->root, for_each & KEY_TENANT ? KEY_TENANT : KEY_GROUP, &none))
	{
		*problem = reading.problem;
		return false;
	}
	qsort(reading.overrides, reading.n, sizeof(LimitOverride), CompareOverrides);
	*overrides = reading.overrides;
	*n = reading.n;
	return true;
}

/* Return how many jobs with these keys may run under the limit. */
int32
LimitConcurrencyFor(const TaskqLimit *limit, const JobKeys *keys)
{
	LimitOverride		 wanted = { .keys = *keys };
	const LimitOverride *found;

	if (limit->n_overrides == 0)
		return limit->concurrency;
	if ((limit->for_each & KEY_TENANT) == 0)
		wanted.keys.tenant_id[0] = '\0';
	if ((limit->for_each & KEY_GROUP) == 0)
		wanted.keys.group_key[0] = '\0';
	found = bsearch(&wanted, limit->overrides, limit->n_overrides, sizeof(LimitOverride), CompareOverrides);
	return found == NULL ? limit->concurrency : found->concurrency;
}

/* lanes ----------------------------------------------------------------------- */

/*
 * Return the lane of jobs with these values of these keys: the keys and a hash of the
 * values.  In one lane of another user's jobs, a job would wait for theirs.  So nobody
 * must be able to find a value for a given lane.
 */
int64
LaneOf(uint8 keys, const JobKeys *values)
{
	JobKeys used = { 0 };
	bytea  *bytes = palloc(VARHDRSZ + sizeof(JobKeys));
	bytea  *hash;
	uint64	number;

	if ((keys & KEY_TENANT) != 0)
		strlcpy(used.tenant_id, values->tenant_id, sizeof(used.tenant_id));
	if ((keys & KEY_GROUP) != 0)
		strlcpy(used.group_key, values->group_key, sizeof(used.group_key));
	SET_VARSIZE(bytes, VARHDRSZ + sizeof(JobKeys));
	memcpy(VARDATA(bytes), &used, sizeof(JobKeys));
	hash = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(bytes)));
	memcpy(&number, VARDATA_ANY(hash), sizeof(number));
	pfree(bytes);
	return LANE_FIRST(keys) | (int64) (number >> (64 - LANE_KEYS_SHIFT));
}
