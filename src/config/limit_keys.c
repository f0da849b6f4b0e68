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
#include "config/key_values.h"
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
	(void) CheckArrayLength(names, what, PG_INT32_MAX);
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

/* weights --------------------------------------------------------------------- */

/* Read a weight, as what a start costs. */
static bool
ReadWeight(KeyReading *reading, const JsonbValue *value, void *item)
{
	KeyNumber *cost = item;
	double	   weight;

	reading->problem = TURN_WEIGHT_RULE;
	if (value->type != jbvNumeric)
		return false;
	weight = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (!(weight >= MIN_TURN_WEIGHT && weight <= MAX_TURN_WEIGHT))
		return false;
	cost->number = (int32) (TURN_COST / weight);
	return true;
}

/*
 * Read the weights of the values of these keys in a fair queue, as what a start costs.
 * Returns false and what is wrong with them.
 */
bool
WeightsRead(struct varlena *json, uint8 keys, KeyNumber **costs, int *n, const char **problem)
{
	KeyReading reading = { .keys = keys, .item_size = sizeof(KeyNumber), .read = ReadWeight };
	bool	   valid = KeyValuesRead(&reading, json);

	*costs = valid ? (KeyNumber *) reading.items : NULL;
	*n = valid ? reading.n : 0;
	*problem = valid ? NULL : reading.problem;
	return valid;
}

/* Check an argument with weights of the values of these keys.  Returns NULL, and no costs, if it is NULL. */
struct varlena *
WeightsArg(FunctionCallInfo fcinfo, int n, uint8 keys, const char *what, const char *hint, KeyNumber **costs, int *count)
{
	struct varlena *weights;
	const char	   *problem;

	*count = 0;
	if (PG_ARGISNULL(n))
		return NULL;
	weights = (struct varlena *) PG_GETARG_JSONB_P(n);
	if (!WeightsRead(weights, keys, costs, count, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s are not valid", what),
				 errdetail_internal("%s.", problem),
				 errhint("%s", hint)));
	return weights;
}

/* lanes ----------------------------------------------------------------------- */

/*
 * Return a number for these bytes.  In one lane of another user's jobs, a job would wait for
 * theirs.  So nobody must be able to find bytes for a given number.
 */
static uint64
HashOf(const void *data, Size size)
{
	bytea *bytes = palloc(VARHDRSZ + size);
	bytea *hash;
	uint64 number;

	SET_VARSIZE(bytes, VARHDRSZ + size);
	memcpy(VARDATA(bytes), data, size);
	hash = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(bytes)));
	memcpy(&number, VARDATA_ANY(hash), sizeof(number));
	pfree(bytes);
	return number;
}

/* Return the lane of jobs with these values of these keys: the keys and a hash of the values. */
int64
LaneOf(uint8 keys, const JobKeys *values)
{
	JobKeys used = { 0 };

	if ((keys & KEY_TENANT) != 0)
		strlcpy(used.tenant_id, values->tenant_id, sizeof(used.tenant_id));
	if ((keys & KEY_GROUP) != 0)
		strlcpy(used.group_key, values->group_key, sizeof(used.group_key));
	return LANE_FIRST(keys) | (int64) (HashOf(&used, sizeof(used)) >> (64 - LANE_KEYS_SHIFT));
}

/* Return the lane of the jobs of a group that are in order.  All routes of the queue have it. */
int64
LaneInOrder(int32 queue_id, const char *group_key)
{
	struct
	{
		int32 queue_id;
		char  group_key[TASKQ_NAME_MAX + 1];
	} used;

	memset(&used, 0, sizeof(used));
	used.queue_id = queue_id;
	strlcpy(used.group_key, group_key, sizeof(used.group_key));
	return PG_INT64_MIN | (int64) HashOf(&used, sizeof(used));
}

/* Return the lane of jobs of an ordered queue that are not in order. */
int64
LaneBesideOrder(const JobKeys *values)
{
	return Max((int64) (HashOf(values, sizeof(JobKeys)) >> (64 - LANE_KEYS_SHIFT)), 1);
}
