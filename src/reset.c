/*
 * reset.c
 *	  Leaving nothing of one job for the next.
 *
 * Settings are undone by the GUC nest level around the handler (call.c).
 * Here goes what outlives a transaction otherwise: what DISCARD ALL would do,
 * which cannot run here, less the plans, which are worth keeping as this
 * process only ever serves one role.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "reset.h"

/* Disarm what a handler may be under, before anything else goes on. */
void
ResetTimers(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (get_timeout_active(LOCK_TIMEOUT))
		disable_timeout(LOCK_TIMEOUT, false);
}

/* Drop temporary tables, in a transaction of their own, if there can be any. */
static void
ResetTemporaryTables(void)
{
	Oid			namespace;
	Oid			toast_namespace;

	GetTempNamespaceState(&namespace, &toast_namespace);
	if (!OidIsValid(namespace))
		return;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactReadOnly = false;
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Called between transactions. */
void
ResetSession(void)
{
	PortalHashTableDeleteAll();
	DropAllPreparedStatements();
	Async_UnlistenAll();
	LockReleaseAll(USER_LOCKMETHOD, true);
	ResetSequenceCaches();
	ResetTemporaryTables();
}
