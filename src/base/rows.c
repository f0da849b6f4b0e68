/*
 * rows.c
 *	  Checks of the rows that functions return, before a row is formed.
 *
 * A row is formed from values of the types that this library was made for.  If the
 * SQL definitions are of another version, or if somebody has changed a row type, a
 * number would be taken for a pointer, and the server would crash.
 */
#include "taskq.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "base/rows.h"

static void
RefuseRow(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("taskq's library and its SQL definitions are of different versions"),
			 errdetail_internal("%s", detail),
			 errhint("Run ALTER EXTENSION taskq UPDATE, or restart the server if the library was replaced.")));
}

/*
 * Return the number of the first column that is not of the type expected, or 0.
 * A column that was dropped has no type.  The caller has looked at the number of
 * columns.
 */
static int
FirstOtherColumn(TupleDesc desc, int n, const Oid *types)
{
	Assert(desc->natts >= n);
	for (int i = 0; i < n; i++)
		if (TupleDescAttr(desc, i)->atttypid != types[i])
			return i + 1;
	return 0;
}

/* Raise an error unless a row has exactly these columns. */
void
CheckColumns(TupleDesc desc, int n, const Oid *types)
{
	int other;

	if (desc->natts != n)
		RefuseRow(psprintf("The result is declared with %d columns and has %d.", desc->natts, n));
	other = FirstOtherColumn(desc, n, types);
	if (other != 0)
		RefuseRow(psprintf("Column %d of the result is declared as %s and is %s.", other,
						   format_type_extended(TupleDescAttr(desc, other - 1)->atttypid, -1, FORMAT_TYPE_ALLOW_INVALID),
						   format_type_be(types[other - 1])));
}

/*
 * Raise an error unless the result type of a function, "desc", has the columns of the
 * rows that a query has returned, "other".
 */
void
CheckSameColumns(TupleDesc desc, TupleDesc other)
{
	Oid *types = palloc(sizeof(Oid) * (other->natts + 1));

	for (int i = 0; i < other->natts; i++)
		types[i] = TupleDescAttr(other, i)->atttypid;
	CheckColumns(desc, other->natts, types);
	pfree(types);
}

/* Begin the result of a function that returns rows. */
void
BeginRows(FunctionCallInfo fcinfo, int n, const Oid *types)
{
	InitMaterializedSRF(fcinfo, 0);
	CheckColumns(((ReturnSetInfo *) fcinfo->resultinfo)->setDesc, n, types);
}
