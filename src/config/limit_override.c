/*
 * limit_override.c
 *	  Overrides: other numbers of a limit for single values of its keys.
 *
 * They are written as JSON (key_values.c).  A plain number is a concurrency.  An object has the
 * numbers by their names.
 */
#include "taskq.h"

#include "config/key_values.h"

/* A number that an override can give. */
typedef struct NumberName
{
	const char *name;
	size_t		at; /* in LimitNumbers */
	int32		least;
	int32		most;
} NumberName;

static const NumberName number_names[] = {
	{ "concurrency", offsetof(LimitNumbers, concurrency), 0, MAX_CONCURRENCY },
	{ "rate", offsetof(LimitNumbers, rate), 1, MAX_BURST },
	{ "burst", offsetof(LimitNumbers, burst), 1, MAX_BURST },
	{ "quota", offsetof(LimitNumbers, quota), 1, MAX_QUOTA },
};

static int32 *
NumberIn(const LimitNumbers *numbers, const NumberName *name)
{
	return (int32 *) ((char *) numbers + name->at);
}

/* Does the limit have this number?  A value cannot have one that the limit does not have. */
static bool
HasNumber(const TaskqLimit *limit, const NumberName *name)
{
	return *NumberIn(&limit->numbers, name) >= (name->at == offsetof(LimitNumbers, concurrency) ? 0 : 1);
}

/* Read one number.  Returns false and what is wrong with it. */
static bool
ReadNamed(KeyReading *reading, const NumberName *name, const JsonbValue *value, LimitNumbers *numbers)
{
	if (!HasNumber(reading->arg, name))
		reading->problem = psprintf("The limit has no %s of its own, so no value can have another one", name->name);
	else if (!ReadWholeNumber(value, name->least, name->most, NumberIn(numbers, name)))
		reading->problem = psprintf("A %s must be a whole number from %d to %d", name->name, name->least, name->most);
	return reading->problem == NULL;
}

/* Read an object with numbers. */
static bool
ReadNumbers(KeyReading *reading, JsonbContainer *object, LimitNumbers *numbers)
{
	JsonbIterator	  *it = JsonbIteratorInit(object);
	JsonbValue		   item;
	JsonbIteratorToken token = JsonbIteratorNext(&it, &item, true);

	if (token != WJB_BEGIN_OBJECT)
	{
		reading->problem = "The value of a name must be a number, or an object with numbers";
		return false;
	}
	while ((token = JsonbIteratorNext(&it, &item, true)) == WJB_KEY)
	{
		const NumberName *found = NULL;
		const char		 *name = pnstrdup(item.val.string.val, item.val.string.len);

		for (int i = 0; i < lengthof(number_names); i++)
			if (strcmp(number_names[i].name, name) == 0)
				found = &number_names[i];
		(void) JsonbIteratorNext(&it, &item, true);
		if (found == NULL)
			reading->problem = psprintf("A value has no number \"%s\", only concurrency, rate, burst and quota", name);
		if (found == NULL || !ReadNamed(reading, found, &item, numbers))
			return false;
	}
	reading->problem = LimitRateProblem(numbers, ((const TaskqLimit *) reading->arg)->per);
	return reading->problem == NULL;
}

/* Read the override of a value. */
static bool
ReadOverride(KeyReading *reading, const JsonbValue *value, void *item)
{
	const TaskqLimit *limit = reading->arg;
	LimitOverride	 *read = item;

	read->numbers = limit->numbers;
	if (value->type == jbvBinary)
		return ReadNumbers(reading, value->val.binary.data, &read->numbers);
	return ReadNamed(reading, &number_names[0], value, &read->numbers);
}

/*
 * Read the overrides of a limit, whose keys and numbers are set, in the order of the values.
 * Returns false and what is wrong with them.
 */
bool
OverridesRead(struct varlena *json, const TaskqLimit *limit, LimitOverride **overrides, int *n, const char **problem)
{
	KeyReading reading = { .keys = limit->for_each, .item_size = sizeof(LimitOverride), .read = ReadOverride, .arg = limit };
	bool	   valid = json == NULL || limit->for_each != 0;

	if (!valid)
		reading.problem = "The limit is not for each value of a key";
	valid = valid && KeyValuesRead(&reading, json);
	*overrides = valid ? (LimitOverride *) reading.items : NULL;
	*n = valid ? reading.n : 0;
	*problem = valid ? NULL : reading.problem;
	return valid;
}

/* Return the numbers of a limit for jobs with these keys, or with NULL those of the limit itself. */
LimitNumbers
LimitNumbersFor(const TaskqLimit *limit, const JobKeys *keys)
{
	JobKeys				 wanted = { 0 };
	const LimitOverride *found;

	if (limit->n_overrides == 0 || keys == NULL)
		return limit->numbers;
	if ((limit->for_each & KEY_TENANT) != 0)
		strlcpy(wanted.tenant_id, keys->tenant_id, sizeof(wanted.tenant_id));
	if ((limit->for_each & KEY_GROUP) != 0)
		strlcpy(wanted.group_key, keys->group_key, sizeof(wanted.group_key));
	found = KeyValuesFind(&wanted, limit->overrides, limit->n_overrides, sizeof(LimitOverride));
	return found == NULL ? limit->numbers : found->numbers;
}
