/*
 * capability.c
 *	  Capabilities, such as gpu or region=eu: what tokens are valid, and the digest of
 *	  a set.
 *
 * A token has no comma, white space or control character.  So a set can be shown as
 * its sorted tokens with commas between them, which no other set is shown as, and
 * its digest is computed from that text.  A space at the end of a token cannot
 * prevent a match that people see.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/args.h"
#include "base/capability.h"
#include "base/names.h"
#include "base/signature.h"

#define DIGEST_DIGITS 8
#define SHOWN_BYTES 100 /* of a token in a message */

PG_FUNCTION_INFO_V1(taskq_capabilities_digest);

/* Is this character white space in Unicode? */
static bool
IsSpace(pg_wchar c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
		   c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool
IsControl(pg_wchar c)
{
	return c < ' ' || (c >= 0x7f && c <= 0x9f);
}

/* Is the encoding of the database a part of ISO 8859?  They all have the same control characters, up to the space 0xa0. */
static bool
IsIso8859(void)
{
	switch (GetDatabaseEncoding())
	{
		case PG_LATIN1:
		case PG_LATIN2:
		case PG_LATIN3:
		case PG_LATIN4:
		case PG_LATIN5:
		case PG_LATIN6:
		case PG_LATIN7:
		case PG_LATIN8:
		case PG_LATIN9:
		case PG_LATIN10:
		case PG_ISO_8859_5:
		case PG_ISO_8859_6:
		case PG_ISO_8859_7:
		case PG_ISO_8859_8:
			return true;
		default:
			return false;
	}
}

/*
 * Return the first character of a string of len bytes, and its length.  In an encoding
 * other than UTF-8, only ASCII characters and control characters are known, and all others
 * count as letters.
 */
static pg_wchar
FirstCharacter(const char *string, int len, int *char_len)
{
	*char_len = Min(pg_mblen(string), len);
	if (!IS_HIGHBIT_SET(*string))
		return (unsigned char) *string;
	if (GetDatabaseEncoding() == PG_UTF8)
		return utf8_to_unicode((const unsigned char *) string);
	return IsIso8859() && (unsigned char) *string <= 0xa0 ? (unsigned char) *string : 'x';
}

/* Return why a token is not valid, or NULL.  *hint says what to do then. */
static const char *
WhyNotValid(const char *token, int len, const char **hint)
{
	int char_len;

	*hint = "Leave it out.";
	if (len == 0)
		return "It is empty.";
	*hint = "Give it a shorter name.";
	if (len > TASKQ_LABEL_MAX)
		return "It is too long.";
	*hint = "Make each capability an element of its own, for example ARRAY['gpu', 'region=eu'].";
	if (memchr(token, ',', len) != NULL)
		return "It contains a comma.";
	*hint = "Use another character there, such as - or _.";
	for (int i = 0; i < len; i += char_len)
	{
		pg_wchar c = FirstCharacter(token + i, len - i, &char_len);

		if (IsSpace(c))
			return "It contains white space.";
		if (IsControl(c))
			return "It contains a control character.";
	}
	return NULL;
}

/* Return a token for a message: cut, and with its control characters as \x and two digits. */
static char *
Shown(const char *token, int len)
{
	StringInfoData shown;
	int			   shown_len = pg_mbcliplen(token, len, SHOWN_BYTES);

	initStringInfo(&shown);
	for (int i = 0; i < shown_len; i++)
	{
		unsigned char c = (unsigned char) token[i];

		if (c < ' ' || c == 0x7f || (IsIso8859() && IsControl(c)))
			appendStringInfo(&shown, "\\x%02x", c);
		else
			appendStringInfoChar(&shown, token[i]);
	}
	if (shown_len < len)
		appendStringInfoString(&shown, "...");
	return shown.data;
}

/*
 * Read an argument with a set of capabilities, in the form in which it is stored:
 * sorted by bytes and without duplicates.  Returns NULL for NULL.  All sets that jobs
 * require or workers have are read here.
 */
ArrayType *
ArgCapabilities(FunctionCallInfo fcinfo, int n, const char *what)
{
	char **tokens;
	int	   count;

	if (PG_ARGISNULL(n))
		return NULL;
	(void) CheckArrayLength(PG_GETARG_ARRAYTYPE_P(n), what, TASKQ_MAX_TAGS);
	tokens = NamesToStrings(PG_GETARG_ARRAYTYPE_P(n), &count, what);
	for (int i = 0; i < count; i++)
	{
		const char *hint;
		int			len = strlen(tokens[i]);
		const char *problem = WhyNotValid(tokens[i], len, &hint);

		if (problem != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("capability \"%s\" in %s is not valid", Shown(tokens[i], len), what),
					 errdetail("%s A capability is 1 to %d bytes, without commas, white space and control characters.",
							   problem, TASKQ_LABEL_MAX),
					 errhint("%s", hint)));
	}
	return NormalizeNames(StringsToNames(tokens, count), what);
}

/*
 * Return the first token of a stored set that is not valid, for a message, or NULL.
 * ArgCapabilities() lets none pass, but a dump may be of an earlier state of taskq.
 */
char *
CapabilityNotValid(ArrayType *set)
{
	char  *found = NULL;
	Datum *tokens;
	bool  *nulls;
	int	   n;

	if (NamesCount(set) == 0)
		return NULL;
	if (ARR_NDIM(set) > 1)
		return psprintf("array of %d dimensions", ARR_NDIM(set));
	deconstruct_array(set, TEXTOID, -1, false, TYPALIGN_INT, &tokens, &nulls, &n);
	for (int i = 0; i < n && found == NULL; i++)
	{
		char	   *token = nulls[i] ? NULL : VARDATA_ANY(DatumGetPointer(tokens[i]));
		int			len = nulls[i] ? 0 : VARSIZE_ANY_EXHDR(DatumGetPointer(tokens[i]));
		const char *hint;

		if (nulls[i])
			found = pstrdup("NULL");
		else if (WhyNotValid(token, len, &hint) != NULL)
			found = psprintf("\"%s\"", Shown(token, len));
	}
	pfree(tokens);
	pfree(nulls);
	return found;
}

/* Return the tokens of a normalized set with commas between them. */
static char *
CapabilitiesText(ArrayType *set)
{
	StringInfoData text;
	int			   n;
	char		 **tokens = NamesToStrings(set, &n, "capabilities");

	initStringInfo(&text);
	for (int i = 0; i < n; i++)
		appendStringInfo(&text, "%s%s", i == 0 ? "" : ",", tokens[i]);
	return text.data;
}

/*
 * Return the digest of a set: the first digits of the SHA-256 of its text.  A set that
 * is empty, or has a NULL or several dimensions, has none, and the result is NULL.
 */
char *
CapabilitiesDigest(ArrayType *set)
{
	char  *text;
	bytea *hash;
	char  *digest;

	if (NamesCount(set) == 0 || array_contains_nulls(set) || ARR_NDIM(set) > 1)
		return NULL;
	text = CapabilitiesText(NormalizeNames(set, "capabilities"));
	hash = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(cstring_to_text(text))));
	digest = palloc(DIGEST_DIGITS + 1);
	(void) hex_encode(VARDATA_ANY(hash), DIGEST_DIGITS / 2, digest);
	digest[DIGEST_DIGITS] = '\0';
	return digest;
}

/* Return a set for a message of the server log: as its digest, or in full with the digest. */
char *
CapabilitiesInLog(ArrayType *set, bool in_full)
{
	const char *digest = CapabilitiesDigest(set);

	if (digest == NULL)
		return pstrdup("no capabilities");
	if (!in_full)
		return psprintf("capabilities %s", digest);
	return psprintf("capabilities %s (%s)", CapabilitiesText(NormalizeNames(set, "capabilities")), digest);
}

/* SQL-callable capabilities_digest() */
Datum
taskq_capabilities_digest(PG_FUNCTION_ARGS)
{
	char *digest;

	CheckCall(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	digest = CapabilitiesDigest(PG_GETARG_ARRAYTYPE_P(0));
	if (digest == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(digest));
}
