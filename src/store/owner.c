/*
 * owner.c
 *	  Running taskq's own statements as the extension's owner.
 *
 * No taskq function is SECURITY DEFINER, because such a function cannot find out
 * who has called it.  The function's ACL is the first check.  All other checks use
 * GetUserId() for the caller.  The switch of users here is used only for fixed
 * statements of taskq, and never while users' code is on the stack.  No clean-up is
 * needed after an error, because abort of the transaction or subtransaction
 * restores the user and the settings.
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

static bool executing = false; /* OwnerExecute() is running a statement */

/* Switch to the owner, for work through the table access methods. */
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
 * Settings that a caller may have changed, and that would change the meaning of
 * taskq's statements, or where and how leaves are created.
 */
static const struct
{
	const char *name;
	const char *value;
} pins[] = {
	{ "search_path", "pg_catalog, pg_temp" }, /* ignore the caller's search_path */
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
	{ "restrict_nonsystem_relation_kind", "" }, /* in versions that have this setting */
};

static void
Pin(const char *name, const char *value)
{
	const char *current = GetConfigOption(name, true, false);

	if (current != NULL && strcmp(current, value) != 0)
		(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Lock the extension, so that it is not dropped before the transaction ends.
 * Otherwise, DROP EXTENSION could happen in between, and a statement would fail
 * because one of the tables is missing.
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

/* Switch to the owner, for SQL. */
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

	/* a worker settles outside any statement */
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

/* Is the statement that is running one of taskq's own? */
bool
OwnerIsExecuting(void)
{
	return executing;
}

/* Run one fixed statement.  Returns how many rows it has changed or returned. */
uint64
OwnerExecute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	bool		 outer = executing;
	volatile int rc = 0;

	AssertOwner();
	executing = true;
	PG_TRY();
	{
		rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	}
	PG_FINALLY();
	{
		executing = outer;
	}
	PG_END_TRY();
	if (rc < 0)
		elog(ERROR, "taskq statement failed: %s: %s", SPI_result_code_string(rc), sql);
	return SPI_processed;
}

/*
 * Switch to the owner and run one fixed statement.  Returns how many rows it has
 * changed.
 */
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
