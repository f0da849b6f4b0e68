/*
 * text.c
 *	  Make text values that are stored in tables.
 */
#include "taskq.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/text.h"

struct varlena *
TextOrNull(const char *string)
{
	return string == NULL ? NULL : (struct varlena *) cstring_to_text(string);
}

/*
 * Make a string valid in the server's encoding: if it is not, replace each non-ASCII
 * byte by a question mark.  Messages of C code may be in any encoding, and invalid
 * bytes in a table would make a dump impossible to restore.
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

/*
 * Make the text of an error, cut at a character to TASKQ_MAX_ERROR_TEXT bytes at most.
 * Returns NULL for NULL.
 */
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
