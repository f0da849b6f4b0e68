/*
 * version.c
 *	  Compare versions of handlers.  Versions that are dotted integers are compared
 *	  number by number.  Any other version is equal to itself only.
 */
#include "taskq.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/signature.h"
#include "base/version.h"

PG_FUNCTION_INFO_V1(taskq_version_at_least);

/* Return whether a version is of the form 1, 1.2, 1.2.10 and so on. */
static bool
IsDotted(const char *version)
{
	bool digit = false;

	for (; *version != '\0'; version++)
	{
		if (*version >= '0' && *version <= '9')
			digit = true;
		else if (*version == '.' && digit)
			digit = false;
		else
			return false;
	}
	return digit;
}

/*
 * Move past the next number and the dot after it.  Returns the number's first digit
 * after leading zeros, and the count of digits from there in "len".
 */
static const char *
NextNumber(const char **version, int *len)
{
	const char *digits = *version;

	while (*digits == '0')
		digits++;
	*len = strspn(digits, "0123456789");
	*version = digits + *len;
	if (**version == '.')
		(*version)++;
	return digits;
}

/*
 * Compare two dotted versions, as strcmp() does.  Numbers may be longer than any
 * integer type, so they are compared as strings.  A missing number counts as 0.
 */
static int
CompareDotted(const char *a, const char *b)
{
	while (*a != '\0' || *b != '\0')
	{
		int			a_len;
		int			b_len;
		int			order;
		const char *a_digits = NextNumber(&a, &a_len);
		const char *b_digits = NextNumber(&b, &b_len);

		if (a_len != b_len)
			return a_len < b_len ? -1 : 1;
		order = strncmp(a_digits, b_digits, a_len);
		if (order != 0)
			return order;
	}
	return 0;
}

/*
 * Return whether a handler of this version takes jobs with "least" as min_version.
 * A handler without a version (NULL) takes none.
 */
bool
VersionAtLeast(const char *version, const char *least)
{
	if (version == NULL)
		return false;
	if (IsDotted(version) && IsDotted(least))
		return CompareDotted(version, least) >= 0;
	return strcmp(version, least) == 0;
}

Datum
taskq_version_at_least(PG_FUNCTION_ARGS)
{
	char *version;
	char *least;

	CheckCall(fcinfo);
	version = ArgTextOrNull(fcinfo, 0);
	least = ArgTextOrNull(fcinfo, 1);
	PG_RETURN_BOOL(least == NULL || VersionAtLeast(version, least));
}
