/*
 * args.c
 *	  Check and read the arguments of SQL-callable functions.  These functions are
 *	  not STRICT: an argument that must not be NULL is an error, not a NULL result.
 */
#include "taskq.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guc.h"

/* Raise an error if this transaction may not write.  The table access methods do not check that. */
void
CheckWritable(const char *what)
{
	PreventCommandIfReadOnly(what);
	PreventCommandIfParallelMode(what);
	PreventCommandDuringRecovery(what);
}

/* Return whether a string is a valid name.  Names are safe to print, log and type. */
bool
IsName(const char *name)
{
	int len = strlen(name);

	if (len < 1 || len > TASKQ_NAME_MAX)
		return false;
	for (int i = 0; i < len; i++)
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
			  (name[i] >= '0' && name[i] <= '9') || strchr("_.:/-\\", name[i]) != NULL))
			return false;
	return true;
}

/* Return the hint for a name that is not valid, or NULL. */
static const char *
NameHint(const char *what)
{
	static const char *const of_jobs[] = { "task_type", "task type", "group_key", "tenant_id", "step" };

	if (strcmp(what, "worker_id") == 0 || strcmp(what, "instance_id") == 0)
		return "Use the host's name and a number, for example, such as host:1.";
	for (int i = 0; i < lengthof(of_jobs); i++)
		if (strcmp(what, of_jobs[i]) == 0)
			return "Keep other text in the payload or in tags.";
	return NULL;
}

void
CheckName(const char *name, const char *what)
{
	const char *hint = NameHint(what);

	if (IsName(name))
		return;
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is empty", what),
				 errhint("Names are 1 to %d bytes of letters, digits and _ . : / - \\.", TASKQ_NAME_MAX)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s \"%.*s\" is not a valid name", what,
					pg_mbcliplen(name, strlen(name), 100), name),
			 errdetail("Names are 1 to %d bytes of letters, digits and _ . : / - \\.", TASKQ_NAME_MAX),
			 hint == NULL ? 0 : errhint("%s", hint)));
}

/* Return whether the n-th argument has a default, so that it can be left out of the call. */
static bool
HasDefault(FunctionCallInfo fcinfo, int n)
{
	HeapTuple tuple;
	bool	  has;

	if (fcinfo->flinfo == NULL)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	if (!HeapTupleIsValid(tuple))
		return false;
	has = n >= ((Form_pg_proc) GETSTRUCT(tuple))->pronargs - ((Form_pg_proc) GETSTRUCT(tuple))->pronargdefaults;
	ReleaseSysCache(tuple);
	return has;
}

static void
RefuseNull(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", what),
				 HasDefault(fcinfo, n) ? errhint("Leave the argument out to get its default.") : 0));
}

char *
ArgName(FunctionCallInfo fcinfo, int n, const char *what)
{
	char *name;

	RefuseNull(fcinfo, n, what);
	name = text_to_cstring(PG_GETARG_TEXT_PP(n));
	CheckName(name, what);
	return name;
}

/* Return whether a worker's id is that of a background worker, pool#pid.  No name contains a '#'. */
bool
IsServerWorkerId(const char *worker_id)
{
	return strchr(worker_id, '#') != NULL;
}

/* Read the id of an external worker, which is a name, or of a background worker, pool#pid. */
char *
ArgWorkerId(FunctionCallInfo fcinfo, int n, const char *what)
{
	char *id;
	char *mark;

	RefuseNull(fcinfo, n, what);
	id = text_to_cstring(PG_GETARG_TEXT_PP(n));
	mark = strchr(id, '#');
	if (mark == NULL || mark == id || strlen(mark) < 2 || strspn(mark + 1, "0123456789") != strlen(mark + 1))
	{
		CheckName(id, what);
		return id;
	}
	CheckName(pnstrdup(id, mark - id), what);
	return id;
}

char *
ArgNameOrNull(FunctionCallInfo fcinfo, int n, const char *what)
{
	return PG_ARGISNULL(n) ? NULL : ArgName(fcinfo, n, what);
}

/* Read a label: a short text with any characters, by which an application finds things again. */
char *
ArgLabel(FunctionCallInfo fcinfo, int n, const char *what)
{
	char *label;

	RefuseNull(fcinfo, n, what);
	label = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (label[0] == '\0' || strlen(label) > TASKQ_LABEL_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is empty or longer than %d bytes", what, TASKQ_LABEL_MAX)));
	return label;
}

char *
ArgTextOrNull(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static void
CheckTextSize(Size size, const char *what)
{
	if (size > TASKQ_TEXT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of %zu bytes is too long", what, size),
				 errdetail("It can have up to %d bytes.", TASKQ_TEXT_MAX),
				 errhint("Keep longer texts in a table of your own.")));
}

/* Raise an error if a text is longer than what is kept of such texts. */
void
CheckText(const char *text, const char *what)
{
	CheckTextSize(strlen(text), what);
}

/* The same for an argument that is passed on as it is, and may be NULL. */
void
CheckArgText(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (!PG_ARGISNULL(n))
		CheckTextSize(toast_raw_datum_size(PG_GETARG_DATUM(n)) - VARHDRSZ, what);
}

/* Read a text that people write, such as a reason. */
char *
ArgShortTextOrNull(FunctionCallInfo fcinfo, int n, const char *what)
{
	CheckArgText(fcinfo, n, what);
	return ArgTextOrNull(fcinfo, n);
}

/*
 * Read a text that says what went wrong.  If it is longer than TASKQ_MAX_ERROR_TEXT
 * bytes, it is cut off and not refused, because otherwise the failure could not be
 * reported.
 */
char *
ArgErrorTextOrNull(FunctionCallInfo fcinfo, int n)
{
	text *error;
	int	  len;

	if (PG_ARGISNULL(n))
		return NULL;
	error = PG_GETARG_TEXT_PP(n);
	len = VARSIZE_ANY_EXHDR(error);
	if (len > TASKQ_MAX_ERROR_TEXT)
		len = pg_mbcliplen(VARDATA_ANY(error), len, TASKQ_MAX_ERROR_TEXT);
	return pnstrdup(VARDATA_ANY(error), len);
}

bool
ArgBool(FunctionCallInfo fcinfo, int n, const char *what)
{
	RefuseNull(fcinfo, n, what);
	return PG_GETARG_BOOL(n);
}

int32
ArgInt(FunctionCallInfo fcinfo, int n, const char *what, int32 least, int32 most)
{
	int32 value;

	RefuseNull(fcinfo, n, what);
	value = PG_GETARG_INT32(n);
	if (value < least || value > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s %d is out of range", what, value),
				 errhint("It can be from %d to %d.", least, most)));
	return value;
}

int64
ArgId(FunctionCallInfo fcinfo, int n, const char *what)
{
	RefuseNull(fcinfo, n, what);
	return PG_GETARG_INT64(n);
}

/* Read an array of up to TASKQ_MAX_IDS ids, which must not contain NULL. */
int64 *
ArgIds(FunctionCallInfo fcinfo, int n, const char *what, int *count)
{
	ArrayType *array;
	Datum	  *values;
	bool	  *nulls;
	int64	  *ids;

	RefuseNull(fcinfo, n, what);
	array = PG_GETARG_ARRAYTYPE_P(n);
	(void) CheckArrayLength(array, what, TASKQ_MAX_IDS);
	deconstruct_array(array, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, count);
	ids = palloc(sizeof(int64) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain NULL", what)));
		ids[i] = DatumGetInt64(values[i]);
	}
	return ids;
}

/* Raise an error if two arrays that belong together differ in length. */
void
CheckSameLength(const char *first, int count, const char *other, int other_count)
{
	if (count != other_count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s has %d elements and %s has %d", first, count, other, other_count)));
}

/*
 * Return an interval in microseconds.  Raise an error if it is below "least" or above so
 * many days; "most" names these to people.
 */
int64
CheckMicrosecondsUpTo(Interval *interval, const char *what, int64 least, int days, const char *most)
{
	int64 us = IntervalMicroseconds(interval);

	if (us < least || us > days * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s \"%s\" is out of range", what,
						DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)))),
				 errhint("It can be from %g %s to %s.", (double) least / USECS_PER_SEC, least == USECS_PER_SEC ? "second" : "seconds", most)));
	return us;
}

/* Return an interval in microseconds.  Raise an error if it is below "least" or above ten years. */
int64
CheckMicroseconds(Interval *interval, const char *what, int64 least)
{
	return CheckMicrosecondsUpTo(interval, what, least, 3660, "ten years");
}

/* Read an interval argument, as CheckMicroseconds() does.  Returns NO_MICROSECONDS for NULL. */
int64
ArgMicroseconds(FunctionCallInfo fcinfo, int n, const char *what, int64 least)
{
	return PG_ARGISNULL(n) ? NO_MICROSECONDS : CheckMicroseconds(PG_GETARG_INTERVAL_P(n), what, least);
}

/* Raise an error if a jsonb value is too large to be stored in a job's row. */
void
CheckJsonSize(struct varlena *value, const char *what)
{
	Size size = toast_raw_datum_size(PointerGetDatum(value)) - VARHDRSZ;

	if (size > taskq_max_payload_size)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_INVALID_PAYLOAD),
				 errmsg("%s of %zu bytes is too large", what, size),
				 errdetail("taskq.max_payload_size is %d bytes.", taskq_max_payload_size),
				 errhint("Keep the data in a table of your own and put its key into the %s.", what)));
}

struct varlena *
ArgJson(FunctionCallInfo fcinfo, int n, const char *what)
{
	struct varlena *value;

	RefuseNull(fcinfo, n, what);
	value = (struct varlena *) PG_GETARG_JSONB_P(n);
	CheckJsonSize(value, what);
	return value;
}
