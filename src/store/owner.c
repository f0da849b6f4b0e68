/*
 * owner.c
 *	  taskq's own statements run as the extension's owner.
 *
 * No taskq function is SECURITY DEFINER: inside one, nobody can tell who
 * called.  The function's ACL is the first check, GetUserId() names the caller
 * in every other, and the switch below is for fixed statements of taskq only,
 * never with user code on the stack.  An error needs no clean-up: transaction
 * and subtransaction abort restore the user and the settings.
 */
#include "taskq.h"

#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "store/catalog.h"
#include "store/owner.h"
#include "store/table_check.h"

/* Become the owner, for work through the table access methods. */
void
OwnerEnter(OwnerScope *scope)
{
	Oid owner = CatalogOwner();

	GetUserIdAndSecContext(&scope->caller, &scope->sec_context);
	SetUserIdAndSecContext(owner, scope->sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

void
OwnerLeave(OwnerScope *scope)
{
	SetUserIdAndSecContext(scope->caller, scope->sec_context);
}

/* Is the extension's owner the current user? */
bool
OwnerIsIn(void)
{
	return GetUserId() == CatalogOwner();
}

/*
 * What a caller may have set and would change what taskq's statements mean, or
 * where and as what they make the leaves of its tables.
 */
static const struct
{
	const char *name;
	const char *value;
} pins[] = {
	{ "search_path", "pg_catalog, pg_temp" }, /* nothing is found through a caller's path */
	{ "row_security", "on" },
	{ "default_tablespace", "" },
	{ "default_table_access_method", "heap" },
	{ "default_toast_compression", "pglz" },
	{ "standard_conforming_strings", "on" },
	{ "backslash_quote", "safe_encoding" },
	{ "transform_null_equals", "off" },
	{ "array_nulls", "on" },
	{ "quote_all_identifiers", "off" },
	{ "DateStyle", "ISO, YMD" },
	{ "IntervalStyle", "postgres" },
	{ "gin_fuzzy_search_limit", "0" },
	{ "restrict_nonsystem_relation_kind", "" }, /* where there is such a setting */
};

static void
Pin(const char *name, const char *value)
{
	const char *current = GetConfigOption(name, true, false);

	if (current != NULL && strcmp(current, value) != 0)
		(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Have the extension stay until the transaction ends.  Else DROP EXTENSION could
 * come in between, and a statement complain of one table or another.
 */
static void
HoldExtension(void)
{
	Oid extension;

	do
	{
		extension = CatalogExtension();
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	} while (CatalogExtension() != extension);
}

/* Become the owner, for SQL. */
void
OwnerEnterSpi(OwnerScope *scope)
{
	HoldExtension();
	OwnerEnter(scope);
	scope->guc_level = NewGUCNestLevel();
	for (int i = 0; i < lengthof(pins); i++)
		Pin(pins[i].name, pins[i].value);
	TableCheckAll();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	/* a worker settles with no statement around it */
	scope->snapshot = !ActiveSnapshotSet();
	if (scope->snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
}

void
OwnerLeaveSpi(OwnerScope *scope)
{
	if (scope->snapshot)
		PopActiveSnapshot();
	SPI_finish();
	AtEOXact_GUC(true, scope->guc_level);
	OwnerLeave(scope);
}

/* Run one fixed statement; how many rows it touched or returned. */
uint64
OwnerExecute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	int rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (rc < 0)
		elog(ERROR, "taskq statement failed: %s: %s", SPI_result_code_string(rc), sql);
	return SPI_processed;
}

/* Become the owner and run one fixed statement; returns how many rows it has changed. */
uint64
OwnerRun(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	OwnerScope scope;
	uint64	   n;

	OwnerEnterSpi(&scope);
	n = OwnerExecute(sql, nargs, types, values, nulls);
	OwnerLeaveSpi(&scope);
	return n;
}
