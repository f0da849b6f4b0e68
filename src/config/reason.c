/*
 * reason.c
 *	  The names and texts of reasons.
 */
#include "taskq.h"

#include "config/reason.h"

static const struct
{
	const char *name;
	const char *text;
} reasons[] = {
	{ NULL, NULL },
#define REASON_ENTRY(symbol, code, text) { code, text },
	REASONS(REASON_ENTRY)
#undef REASON_ENTRY
};

/* Return the code as it is shown to users, or NULL for REASON_NONE. */
const char *
ReasonName(ReasonCode code)
{
	Assert(code >= REASON_NONE && code < lengthof(reasons));
	return reasons[code].name;
}

/* Return the text of a reason, or NULL for REASON_NONE. */
const char *
ReasonText(ReasonCode code)
{
	Assert(code >= REASON_NONE && code < lengthof(reasons));
	return reasons[code].text;
}

/* Return the reason with this code. */
ReasonCode
ReasonByName(const char *name)
{
	for (int i = REASON_NONE + 1; i < lengthof(reasons); i++)
		if (strcmp(reasons[i].name, name) == 0)
			return (ReasonCode) i;
	elog(ERROR, "there is no reason with the code \"%s\"", name);
}
