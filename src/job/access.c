/*
 * access.c
 *	  Kinds of access: which roles have them; grant_access() and revoke_access().
 *
 * taskq.access_rights lists what each kind of access covers.  taskq.access_grants
 * records which role was granted which kind, so that an update script can grant new
 * functions to the same roles, and which tenants the role was granted.  It is only a
 * record: who may do what is decided by the rights.  No role is ever granted a right on
 * a table.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/signature.h"
#include "config/changes.h"
#include "job/access.h"
#include "store/catalog.h"
#include "store/columns.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_grant_access);
PG_FUNCTION_INFO_V1(taskq_revoke_access);

/* which roles have which kind ------------------------------------------------ */

/* A kind of access, and a function that roles with another kind may not call. */
typedef struct Kind
{
	const char *name;
	const char *function;
} Kind;

static const Kind kinds[] = {
	[ACCESS_PRODUCER] = { "producer", "enqueue_job" },
	[ACCESS_WORKER] = { "worker", "complete_job" },
	[ACCESS_OBSERVER] = { "observer", "sees_tenant" },
	[ACCESS_OPERATOR] = { "operator", "discard_job" },
	[ACCESS_ADMIN] = { "admin", "grant_access" },
};

StaticAssertDecl(lengthof(kinds) == N_ACCESS_KINDS, "each kind has a line");

const char *
AccessName(AccessKind kind)
{
	return kinds[kind].name;
}

/*
 * What was found last for each kind of access.  Each enqueue asks for the same role, and the
 * server's functions take longer than all other checks of its arguments.
 */
static struct
{
	Oid	   role;
	uint64 version; /* of rights_version, when it was found */
	bool   has;
} last[N_ACCESS_KINDS];

static uint64 rights_version = 1; /* raised when rights, roles or memberships may have changed */

static void
RaiseVersion(Datum arg, int cacheid, uint32 hashvalue)
{
	rights_version++;
}

/* Called once in a process, as callbacks stay registered. */
void
AccessInit(void)
{
	CacheRegisterSyscacheCallback(PROCOID, RaiseVersion, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, RaiseVersion, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, RaiseVersion, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, RaiseVersion, (Datum) 0); /* pg_database_owner */
}

/* May a role call the function that stands for a kind of access? */
static bool
MayCall(Oid role, AccessKind kind)
{
	CatCList *functions = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(kinds[kind].function));
	bool	  may = false;

	for (int i = 0; i < functions->n_members && !may; i++)
	{
		Form_pg_proc function = (Form_pg_proc) GETSTRUCT(&functions->members[i]->tuple);

		may = function->pronamespace == CatalogSchema() && MayExecute_compat(function->oid, role);
	}
	ReleaseSysCacheList(functions);
	return may;
}

/*
 * Does a role have this kind of access, itself or as a member of a role that has it?
 * Only the rights decide that, which a REVOKE, DROP OWNED or DROP ROLE takes away at
 * once.  The rows of taskq.access_grants do not: such a statement leaves them, and the
 * OID in a row can be that of another role later, or in another cluster.  The
 * extension's owner and superusers have every kind.
 */
bool
AccessHas(Oid role, AccessKind kind)
{
	uint64 version = rights_version;
	bool   has;

	if (last[kind].version == version && last[kind].role == role)
		return last[kind].has;
	has = MayCall(role, kind);
	last[kind].role = role;
	last[kind].has = has;
	last[kind].version = version; /* an older one if something has changed meanwhile */
	return has;
}

/* Like AccessHas(); a name that is no kind's is one that no role has. */
bool
AccessHasByName(Oid role, const char *name)
{
	for (AccessKind kind = 0; kind < N_ACCESS_KINDS; kind++)
		if (strcmp(kinds[kind].name, name) == 0)
			return AccessHas(role, kind);
	return false;
}

/* Rows of taskq.access_grants whose roles do not have the access. */
typedef struct StaleGrants
{
	List *roles;
	List *names; /* of char *: kinds of access */
} StaleGrants;

static void
LookForStale(TupleTableSlot *slot, void *arg)
{
	StaleGrants *stale = arg;
	Oid			 role = DatumGetObjectId(SlotDatum(slot, Anum_access_grants_role));
	char		*access = SlotString(slot, Anum_access_grants_access);

	if (GetUserNameFromId(role, true) != NULL && AccessHasByName(role, access))
		return;
	stale->roles = lappend_oid(stale->roles, role);
	stale->names = lappend(stale->names, pstrdup(access));
}

/*
 * Delete the rows of roles that were dropped or have lost their rights, except for one
 * row.  Otherwise an update script would grant new functions to these roles, or to other
 * roles that have their OIDs by now.  The caller has called OwnerEnterSpi().
 */
void
AccessForgetStale(Oid except_role, const char *except_access)
{
	Oid			types[] = { REGROLEOID, TEXTOID };
	StaleGrants stale = { 0 };
	ListCell   *role;
	ListCell   *name;

	StoreScan(REL_GRANTS, LookForStale, &stale);
	forboth (role, stale.roles, name, stale.names)
	{
		Datum values[] = { ObjectIdGetDatum(lfirst_oid(role)), CStringGetTextDatum(lfirst(name)) };

		if (lfirst_oid(role) != except_role || strcmp(lfirst(name), except_access) != 0)
			OwnerExecute("DELETE FROM taskq.access_grants WHERE role = $1 AND access = $2", 2, types, values, NULL);
	}
}

/* grant and revoke ----------------------------------------------------------- */

/*
 * Check the first two arguments and store them in "values".  Returns the role's
 * name, quoted for a statement, or NULL if the role does not exist.
 */
static char *
ReadArguments(FunctionCallInfo fcinfo, Datum *values)
{
	char *access;
	char *role;
	int	  kind;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("role must not be NULL")));
	role = GetUserNameFromId(PG_GETARG_OID(0), true);
	access = ArgName(fcinfo, 1, "access");
	for (kind = 0; kind < N_ACCESS_KINDS && strcmp(access, kinds[kind].name) != 0; kind++)
		continue;
	if (kind == N_ACCESS_KINDS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown access \"%s\"", access),
				 errhint("Use producer, worker, observer, operator or admin.")));
	values[0] = PG_GETARG_DATUM(0);
	values[1] = CStringGetTextDatum(access);
	return role == NULL ? NULL : pstrdup(quote_identifier(role));
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

	CheckCall(fcinfo);
	CheckWritable("taskq.grant_access()");
	role = ReadArguments(fcinfo, values);
	if (role == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", PG_GETARG_OID(0))));
	tenants = ArgTenants(fcinfo, values[1]);
	values[2] = PointerGetDatum(tenants);
	OwnerEnterSpi(&scope);
	LockGrants();
	AccessForgetStale(PG_GETARG_OID(0), TextDatumGetCString(values[1]));
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

/*
 * Revoke a kind of access.  Rights that the role also has by another kind are kept.  Of a
 * role that was dropped, only the row is left, and is deleted.
 */
Datum
taskq_revoke_access(PG_FUNCTION_ARGS)
{
	Oid		   types[] = { REGROLEOID, TEXTOID };
	Datum	   values[2];
	char	  *role;
	bool	   found;
	OwnerScope scope;

	CheckCall(fcinfo);
	CheckWritable("taskq.revoke_access()");
	role = ReadArguments(fcinfo, values);
	OwnerEnterSpi(&scope);
	LockGrants();
	AccessForgetStale(PG_GETARG_OID(0), TextDatumGetCString(values[1]));
	found = OwnerExecute("DELETE FROM taskq.access_grants WHERE role = $1 AND access = $2", 2, types, values, NULL) > 0;
	if (found && role != NULL)
		ForEachObject("SELECT object FROM taskq.access_rights WHERE access = $2"
					  " EXCEPT SELECT r.object FROM taskq.access_rights r"
					  " JOIN taskq.access_grants g ON r.access = g.access WHERE g.role = $1",
					  values, "REVOKE", "FROM", role);
	if (found && role != NULL && OwnerExecute("SELECT FROM taskq.access_grants WHERE role = $1", 1, types, values, NULL) == 0)
		OwnerExecute(psprintf("REVOKE USAGE ON SCHEMA taskq FROM %s", role), 0, NULL, NULL, NULL);
	OwnerLeaveSpi(&scope);
	ConfigRowsChanged(REL_GRANTS);
	PG_RETURN_BOOL(found);
}
