/*
 * access.c
 *	  grant_access() and revoke_access().
 *
 * taskq.access_rights lists what each kind of access covers.  taskq.access_grants
 * records which role was granted which kind, so that an update script can grant new
 * functions to the same roles.  No role is ever granted a right on a table.
 */
#include "taskq.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "config/changes.h"
#include "job/access.h"
#include "store/catalog.h"
#include "store/columns.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_grant_access);
PG_FUNCTION_INFO_V1(taskq_revoke_access);

typedef struct AccessQuestion
{
	Oid			role;
	const char *access;
	bool		has;
} AccessQuestion;

static void
LookAtGrant(TupleTableSlot *slot, void *arg)
{
	AccessQuestion *question = arg;

	if (strcmp(SlotString(slot, Anum_access_grants_access), question->access) == 0 &&
		has_privs_of_role(question->role, DatumGetObjectId(SlotDatum(slot, Anum_access_grants_role))))
		question->has = true;
}

/*
 * Does a role have this kind of access, itself or as a member of a role that has
 * it?  The extension's owner and superusers have every kind.
 */
bool
AccessHas(Oid role, const char *access)
{
	AccessQuestion question = { role, access };

	if (has_privs_of_role(role, CatalogOwner()))
		return true;
	StoreScan(REL_GRANTS, LookAtGrant, &question);
	return question.has;
}

/*
 * Check the first two arguments and store them in "values".  Returns the role's
 * name, quoted for a statement.
 */
static char *
ReadArguments(FunctionCallInfo fcinfo, Datum *values)
{
	char *access;
	char *role;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("role must not be NULL")));
	role = GetUserNameFromId(PG_GETARG_OID(0), true);
	if (role == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", PG_GETARG_OID(0))));
	access = ArgName(fcinfo, 1, "access");
	if (strcmp(access, "producer") != 0 && strcmp(access, "worker") != 0 && strcmp(access, "observer") != 0 &&
		strcmp(access, "operator") != 0 && strcmp(access, "admin") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown access \"%s\"", access),
				 errhint("Use producer, worker, observer, operator or admin.")));
	values[0] = PG_GETARG_DATUM(0);
	values[1] = CStringGetTextDatum(access);
	return pstrdup(quote_identifier(role));
}

static const char *
PrivilegeOn(const char *object)
{
	if (strncmp(object, "TABLE ", 6) == 0)
		return "SELECT";
	if (strncmp(object, "TYPE ", 5) == 0)
		return "USAGE";
	return "EXECUTE";
}

/*
 * Read the tenants whose jobs an observer may see, or a producer may enqueue; NULL
 * means all.
 */
static ArrayType *
ArgTenants(FunctionCallInfo fcinfo, Datum access)
{
	ArrayType *tenants = ArgSomeNamesOrNull(fcinfo, 2, "tenants");

	if (tenants != NULL && strcmp(TextDatumGetCString(access), "observer") != 0 &&
		strcmp(TextDatumGetCString(access), "producer") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("only observers and producers are granted some tenants"),
				 errdetail("Workers and operators act on jobs of all tenants.")));
	return tenants;
}

/* Grant or revoke a right on each object that the query finds. */
static void
ForEachObject(const char *query, Datum *values, const char *grant, const char *to, const char *role)
{
	Oid			   types[] = { REGROLEOID, TEXTOID };
	uint64		   n = OwnerExecute(query, 2, types, values, NULL);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		char *object = SPI_getvalue(found->vals[i], found->tupdesc, 1);

		OwnerExecute(psprintf("%s %s ON %s %s %s", grant, PrivilegeOn(object), object, to, role),
					 0, NULL, NULL, NULL);
	}
}

/*
 * Lock out other calls until the end of the transaction.  If two transactions
 * change the rights on one function at the same time, the second one fails, and
 * most kinds of access have functions in common.
 */
static void
LockGrants(void)
{
	table_close(CatalogOpen(REL_GRANTS, ShareRowExclusiveLock), NoLock);
}

Datum
taskq_grant_access(PG_FUNCTION_ARGS)
{
	Oid		   types[] = { REGROLEOID, TEXTOID, TEXTARRAYOID };
	Datum	   values[3];
	char	  *role;
	ArrayType *tenants;
	OwnerScope scope;

	CheckArgCount(fcinfo, 3);
	CheckWritable("taskq.grant_access()");
	role = ReadArguments(fcinfo, values);
	tenants = ArgTenants(fcinfo, values[1]);
	values[2] = PointerGetDatum(tenants);
	OwnerEnterSpi(&scope);
	LockGrants();
	OwnerExecute("INSERT INTO taskq.access_grants VALUES ($1, $2, $3)"
				 " ON CONFLICT (role, access) DO UPDATE SET tenants = excluded.tenants",
				 3, types, values, tenants == NULL ? "  n" : NULL);
	OwnerExecute(psprintf("GRANT USAGE ON SCHEMA taskq TO %s", role), 0, NULL, NULL, NULL);
	ForEachObject("SELECT object FROM taskq.access_rights WHERE access = $2 AND $1 IS NOT NULL",
				  values, "GRANT", "TO", role);
	OwnerLeaveSpi(&scope);
	ConfigRowsChanged(REL_GRANTS);
	PG_RETURN_VOID();
}

/* Revoke a kind of access.  Rights that the role also has by another kind are kept. */
Datum
taskq_revoke_access(PG_FUNCTION_ARGS)
{
	Oid		   types[] = { REGROLEOID, TEXTOID };
	Datum	   values[2];
	char	  *role;
	bool	   found;
	OwnerScope scope;

	CheckArgCount(fcinfo, 2);
	CheckWritable("taskq.revoke_access()");
	role = ReadArguments(fcinfo, values);
	OwnerEnterSpi(&scope);
	LockGrants();
	found = OwnerExecute("DELETE FROM taskq.access_grants WHERE role = $1 AND access = $2", 2, types, values, NULL) > 0;
	if (found)
		ForEachObject("SELECT object FROM taskq.access_rights WHERE access = $2"
					  " EXCEPT SELECT r.object FROM taskq.access_rights r"
					  " JOIN taskq.access_grants g ON r.access = g.access WHERE g.role = $1",
					  values, "REVOKE", "FROM", role);
	if (found && OwnerExecute("SELECT FROM taskq.access_grants WHERE role = $1", 1, types, values, NULL) == 0)
		OwnerExecute(psprintf("REVOKE USAGE ON SCHEMA taskq FROM %s", role), 0, NULL, NULL, NULL);
	OwnerLeaveSpi(&scope);
	ConfigRowsChanged(REL_GRANTS);
	PG_RETURN_BOOL(found);
}
