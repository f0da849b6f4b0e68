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
#include "config/weight.h"

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
CompareNumbers(const void *a, const void *b)
{
	return CompareKeys(&((const KeyNumber *) a)->keys, &((const KeyNumber *) b)->keys);
}

/*
 * Read the names of keys from an argument.  "refusal" is a message for a name that is not one
 * of a key.
 */
uint8
ArgKeys(FunctionCallInfo fcinfo, int n, const char *what, const char *refusal)
{
	ArrayType *names;
	Datum	  *elements;
	bool	  *nulls;
	int		   count;
	uint8	   keys = 0;

	if (PG_ARGISNULL(n))
		return 0;
	names = PG_GETARG_ARRAYTYPE_P(n);
	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		const char *name = nulls[i] ? NULL : TextDatumGetCString(elements[i]);
		uint8		key = name == NULL ? 0 : LimitKeyOf(name);

		if (key == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 name == NULL ? errmsg("%s has a NULL", what) : errmsg("%s \"%.100s\"", refusal, name),
					 errhint("The keys are tenant_id and group_key.")));
		if ((keys & key) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s has \"%s\" twice", what, name)));
		keys |= key;
	}
	return keys;
}

/* numbers of values ------------------------------------------------------------- */

/* Reads the number of a value, or returns false if it is not valid. */
typedef bool (*NumberReader)(const JsonbValue *value, int32 *number);

typedef struct Reading
{
	uint8		 for_each;
	NumberReader read;
	const char	*rule; /* what each number must be */
	KeyNumber	*numbers;
	int			 n;
	const char	*problem;
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
ReadConcurrency(const JsonbValue *value, int32 *number)
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

/* Read a weight, as what a start costs. */
static bool
ReadWeight(const JsonbValue *value, int32 *cost)
{
	double weight;

	if (value->type != jbvNumeric)
		return false;
	weight = DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
	if (!(weight >= MIN_TURN_WEIGHT && weight <= MAX_TURN_WEIGHT))
		return false;
	*cost = (int32) (TURN_COST / weight);
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
		KeyNumber read = { .keys = *outer };

		if (!CopyName(&item, key == KEY_TENANT ? read.keys.tenant_id : read.keys.group_key))
		{
			reading->problem = psprintf("\"%.*s\" is not a valid name", item.val.string.len, item.val.string.val);
			return false;
		}
		(void) JsonbIteratorNext(&it, &item, true);
		if (is_outer && item.type == jbvBinary)
		{
			if (!ReadObject(reading, item.val.binary.data, KEY_GROUP, &read.keys))
				return false;
			continue;
		}
		if (is_outer || !reading->read(&item, &read.number))
		{
			reading->problem = is_outer ? "The value of each tenant must be an object whose names are group keys" : reading->rule;
			return false;
		}
		if (reading->n == MAX_KEY_NUMBERS)
		{
			reading->problem = psprintf("There are more than %d values", MAX_KEY_NUMBERS);
			return false;
		}
		reading->numbers[reading->n++] = read;
	}
	return true;
}

/* Read numbers of values, in the order of the values.  Returns false and reading->problem if they are wrong. */
static bool
ReadNumbers(Reading *reading, struct varlena *json)
{
	JobKeys none = { 0 };

	if (json == NULL)
		return true;
	reading->numbers = palloc(sizeof(KeyNumber) * MAX_KEY_NUMBERS);
	if (!ReadObject(reading, &((Jsonb *) json)->root, reading->for_each & KEY_TENANT ? KEY_TENANT : KEY_GROUP, &none))
		return false;
	qsort(reading->numbers, reading->n, sizeof(KeyNumber), CompareNumbers);
	return true;
}

/*
 * Read the overrides of a limit for each value of these keys, in the order of the values.
 * Returns false and what is wrong with them.
 */
bool
OverridesRead(struct varlena *json, uint8 for_each, KeyNumber **overrides, int *n, const char **problem)
{
	Reading reading = { .for_each = for_each, .read = ReadConcurrency };

	*overrides = NULL;
	*n = 0;
	*problem = NULL;
	if (json != NULL && for_each == 0)
	{
		*problem = "The limit is not for each value of a key";
		return false;
	}
	reading.rule = psprintf("Each number must be a whole number from 0 to %d", MAX_CONCURRENCY);
	if (!ReadNumbers(&reading, json))
	{
		*problem = reading.problem;
		return false;
	}
	*overrides = reading.numbers;
	*n = reading.n;
	return true;
}

/*
 * Read the weights of the values of these keys in a fair queue, as what a start costs.
 * Returns false and what is wrong with them.
 */
bool
WeightsRead(struct varlena *json, uint8 keys, KeyNumber **costs, int *n, const char **problem)
{
	Reading reading = { .for_each = keys, .read = ReadWeight, .rule = TURN_WEIGHT_RULE };

	*costs = NULL;
	*n = 0;
	*problem = NULL;
	if (!ReadNumbers(&reading, json))
	{
		*problem = reading.problem;
		return false;
	}
	*costs = reading.numbers;
	*n = reading.n;
	return true;
}

/* Return how many jobs with these keys may run under the limit. */
int32
LimitConcurrencyFor(const TaskqLimit *limit, const JobKeys *keys)
{
	KeyNumber		 wanted = { .keys = *keys };
	const KeyNumber *found;

	if (limit->n_overrides == 0)
		return limit->concurrency;
	if ((limit->for_each & KEY_TENANT) == 0)
		wanted.keys.tenant_id[0] = '\0';
	if ((limit->for_each & KEY_GROUP) == 0)
		wanted.keys.group_key[0] = '\0';
	found = bsearch(&wanted, limit->overrides, limit->n_overrides, sizeof(KeyNumber), CompareNumbers);
	return found == NULL ? limit->concurrency : found->number;
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
