/*
 * names.c
 *	  Arrays of names: task types, queues, capabilities.
 */
#include "taskq.h"

#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/names.h"

#define MAX_NAMES 10000 /* in an argument */

static int
CompareNames(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/*
 * Check that an array has one dimension and at most so many elements; returns their
 * number.  Callers do this before they allocate memory for each element.
 */
int
CheckArrayLength(ArrayType *array, const char *what, int most)
{
	int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s must be an array of one dimension", what)));
	if (n > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has %d elements, more than %d", what, n, most)));
	return n;
}

char **
NamesToStrings(ArrayType *names, int *n, const char *what)
{
	Datum *values;
	bool  *nulls;
	char **strings;

	(void) CheckArrayLength(names, what, PG_INT32_MAX);
	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, n);
	strings = palloc(sizeof(char *) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain NULL", what)));
		strings[i] = TextDatumGetCString(values[i]);
	}
	return strings;
}

ArrayType *
StringsToNames(char **strings, int n)
{
	Datum *values = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(strings[i]);
	return construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* Read an array of names, in the given order, which matters for queues.  Returns NULL for NULL. */
ArrayType *
ArgNamesOrNull(FunctionCallInfo fcinfo, int n, const char *what)
{
	char **strings;
	int	   count;

	if (PG_ARGISNULL(n))
		return NULL;
	(void) CheckArrayLength(PG_GETARG_ARRAYTYPE_P(n), what, MAX_NAMES);
	strings = NamesToStrings(PG_GETARG_ARRAYTYPE_P(n), &count, what);
	for (int i = 0; i < count; i++)
		CheckName(strings[i], what);
	return StringsToNames(strings, count);
}

/*
 * Read an array of names for which NULL means all.  An empty array is an error: a
 * caller whose list happens to be empty does not mean all.
 */
ArrayType *
ArgSomeNamesOrNull(FunctionCallInfo fcinfo, int n, const char *what)
{
	ArrayType *names = ArgNamesOrNull(fcinfo, n, what);

	if (names != NULL && NamesCount(names) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is an empty array", what),
				 errhint("Leave it out, or give NULL, for all.")));
	return names;
}

/* Read an array of tags: short texts with any characters.  Returns NULL for NULL. */
ArrayType *
ArgTagsOrNull(FunctionCallInfo fcinfo, int n, const char *what)
{
	char **strings;
	int	   count;

	if (PG_ARGISNULL(n))
		return NULL;
	(void) CheckArrayLength(PG_GETARG_ARRAYTYPE_P(n), what, TASKQ_MAX_TAGS);
	strings = NamesToStrings(PG_GETARG_ARRAYTYPE_P(n), &count, what);
	for (int i = 0; i < count; i++)
		if (strings[i][0] == '\0' || strlen(strings[i]) > TASKQ_LABEL_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("an element of %s is empty or longer than %d bytes", what, TASKQ_LABEL_MAX)));
	return StringsToNames(strings, count);
}

/* Return the set of names in the form in which it is stored: sorted and without duplicates.  NULL is the empty set. */
ArrayType *
NormalizeNames(ArrayType *names, const char *what)
{
	char **strings;
	int	   n = 0;
	int	   kept = 0;

	if (names == NULL)
		return StringsToNames(NULL, 0);
	strings = NamesToStrings(names, &n, what);
	qsort(strings, n, sizeof(char *), CompareNames);
	for (int i = 0; i < n; i++)
		if (kept == 0 || strcmp(strings[kept - 1], strings[i]) != 0)
			strings[kept++] = strings[i];
	return StringsToNames(strings, kept);
}

int
NamesCount(ArrayType *names)
{
	return names == NULL ? 0 : ArrayGetNItems(ARR_NDIM(names), ARR_DIMS(names));
}

/*
 * Return the element after this one.  The array has no NULLs.
 */
static char *
NextName(char *name)
{
	name = att_addlength_pointer(name, -1, name);
	return (char *) att_align_nominal(name, TYPALIGN_INT);
}

/* Return the index of a name of this length, or -1.  Arrays with NULLs are never stored, and have no names. */
static int
FindName(ArrayType *names, const char *name, int len)
{
	int	  n = NamesCount(names);
	char *p;

	if (n == 0 || ARR_HASNULL(names))
		return -1;
	p = ARR_DATA_PTR(names);
	for (int i = 0; i < n; i++, p = NextName(p))
		if (VARSIZE_ANY_EXHDR(p) == len && memcmp(VARDATA_ANY(p), name, len) == 0)
			return i;
	return -1;
}

int
NamesIndex(ArrayType *names, const char *name)
{
	return FindName(names, name, strlen(name));
}

bool
NamesContain(ArrayType *names, const char *name)
{
	return NamesIndex(names, name) >= 0;
}

/* Return whether "have" contains all names of "need".  An array with a NULL is never contained. */
bool
NamesCover(ArrayType *have, ArrayType *need)
{
	int	  n = NamesCount(need);
	char *p;

	if (n == 0)
		return true;
	if (ARR_HASNULL(need))
		return false;
	p = ARR_DATA_PTR(need);
	for (int i = 0; i < n; i++, p = NextName(p))
		if (FindName(have, VARDATA_ANY(p), VARSIZE_ANY_EXHDR(p)) < 0)
			return false;
	return true;
}

/* Return the names of "need" that are not in "have", in their order.  "need" has no NULLs. */
ArrayType *
NamesMissing(ArrayType *have, ArrayType *need)
{
	char **strings;
	int	   n;
	int	   missing = 0;

	strings = NamesToStrings(need, &n, "required_capabilities");
	for (int i = 0; i < n; i++)
		if (!NamesContain(have, strings[i]))
			strings[missing++] = strings[i];
	return StringsToNames(strings, missing);
}

/* Return whether two normalized arrays are the same set. */
bool
NamesEqual(ArrayType *a, ArrayType *b)
{
	return NamesCount(a) == NamesCount(b) && NamesCover(a, b);
}

/* Copy names into the current context.  NULL stays NULL. */
ArrayType *
NamesCopy(ArrayType *names)
{
	return names == NULL ? NULL : DatumGetArrayTypePCopy(PointerGetDatum(names));
}
