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

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "catalog.h"
#include "owner.h"

/* Become the owner, for work through the table access methods. */
void
OwnerEnter(OwnerScope *scope)
{
	Oid			owner = CatalogOwner();

	GetUserIdAndSecContext(&scope->caller, &scope->sec_context);
	SetUserIdAndSecContext(owner, scope->sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

void
OwnerLeave(OwnerScope *scope)
{
	SetUserIdAndSecContext(scope->caller, scope->sec_context);
}

/* Become the owner, for SQL: nothing may be found through a caller's path. */
void
OwnerEnterSpi(OwnerScope *scope)
{
	OwnerEnter(scope);
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* a caller's plan settings or a stricter reading must not matter either */
	(void) set_config_option("row_security", "on", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
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
	int			rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (rc < 0)
		elog(ERROR, "taskq statement failed: %s: %s", SPI_result_code_string(rc), sql);
	return SPI_processed;
}
