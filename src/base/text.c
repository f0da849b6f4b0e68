/*
 * text.c
 *	  Text values for tables.
 */
#include "taskq.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/text.h"

struct varlena *
TextOrNull(const char *string)
{
	return string == NULL ? NULL : (struct varlena *) cstring_to_text(string);
}

/*
 * What code in C says may be in any encoding.  In a table, bytes that are not the
 * server's would keep a dump from being restored.
 */
void
MakeValidText(char *string, int len)
{
	if (pg_verifymbstr(string, len, true))
		return;
	for (int i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(string[i]))
			string[i] = '?';
}

/* Text of an error, cut to what is kept of it, at a character. */
struct varlena *
ErrorText(const char *string)
{
	text *kept;
	int	  len;

	if (string == NULL)
		return NULL;
	len = strlen(string);
	if (len > TASKQ_MAX_ERROR_TEXT)
		len = pg_mbcliplen(string, len, TASKQ_MAX_ERROR_TEXT);
	kept = cstring_to_text_with_len(string, len);
	MakeValidText(VARDATA(kept), len);
	return (struct varlena *) kept;
}
