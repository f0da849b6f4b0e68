/*
 * adopt_database.c
 *	  Take over a database: at the end of the installation script, and by
 *	  adopt_database() after the database was restored or copied.
 */
#include "taskq.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/signature.h"
#include "config/adopt.h"
#include "config/changes.h"
#include "job/access.h"
#include "job/arm_budgets.h"
#include "ready/ready.h"
#include "registry/record_owners.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/catalog.h"
#include "store/counter.h"
#include "store/owner.h"
#include "store/rights.h"

PG_FUNCTION_INFO_V1(taskq_adopt_database);
PG_FUNCTION_INFO_V1(taskq_announce_installation);

/*
 * Let registrations of roles that do not exist here belong to nobody.  Their roles are
 * numbers, and a new role can get the same number.  A pool of such a role cannot have
 * workers.
 */
static void
ForgetDroppedRoles(void)
{
	static const char *const statements[] = {
		"UPDATE taskq.external_workers SET registered_by = 0"
		" WHERE registered_by <> 0 AND registered_by NOT IN (SELECT oid FROM pg_catalog.pg_roles)",
		"UPDATE taskq.handlers SET registered_by = 0"
		" WHERE registered_by <> 0 AND registered_by NOT IN (SELECT oid FROM pg_catalog.pg_roles)",
		"UPDATE taskq.handlers SET run_as = NULL, registered_by = 0"
		" WHERE run_as NOT IN (SELECT oid FROM pg_catalog.pg_roles)",
		"DELETE FROM taskq.pool_defs WHERE role NOT IN (SELECT oid FROM pg_catalog.pg_roles)",
	};

	for (int i = 0; i < lengthof(statements); i++)
		OwnerExecute(statements[i], 0, NULL, NULL, NULL);
	AccessForgetStale(InvalidOid, "");
}

Datum
taskq_adopt_database(PG_FUNCTION_ARGS)
{
	Oid		   types[] = { INT8OID, OIDOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID };
	Datum	   values[5];
	OwnerScope scope;

	CheckCall(fcinfo);
	CheckWritable("taskq.adopt_database()");
	if (ShmemPresent())
		CounterPassSequences();
	AddUpBudgetsAnew();
	if (AdoptedHere())
		PG_RETURN_BOOL(false);
	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	values[2] = CStringGetTextDatum(get_database_name(MyDatabaseId));
	values[3] = TimestampTzGetDatum(ClockNow());
	values[4] = AdoptedRolesFrom() == DT_NOEND ? values[3] : TimestampTzGetDatum(AdoptedRolesFrom());
	RecordOwnersAnew();
	OwnerEnterSpi(&scope);
	OwnerExecute("DELETE FROM taskq.installation", 0, NULL, NULL, NULL);
	OwnerExecute("INSERT INTO taskq.installation (system_identifier, database_oid, database_name, adopted_at, roles_from)"
				 " VALUES ($1, $2, $3, $4, $5)",
				 5, types, values, NULL);
	ForgetDroppedRoles();
	RightsRevokeOnTables(NULL);
	OwnerLeaveSpi(&scope);
	ConfigAnythingChanged();
	ReadyForget();
	if (ShmemDatabase(MyDatabaseId, true) != NULL)
		WakeLauncher(MyDatabaseId);
	PG_RETURN_BOOL(true);
}

/*
 * Return the value that shared_preload_libraries should have.  Only superusers are
 * shown the libraries that it has now.
 */
static const char *
PreloadLine(void)
{
	const char *libraries = shared_preload_libraries_string;

	if (libraries == NULL || libraries[0] == '\0' || !superuser())
		return "taskq";
	return psprintf("%s, taskq", libraries);
}

/*
 * SQL-callable, for the end of the installation script: revoke the rights that the
 * script's objects have by default, and make the launcher look at this database once
 * the transaction has committed.  Outside CREATE EXTENSION it only does the latter,
 * which is harmless.
 */
Datum
taskq_announce_installation(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	if (creating_extension)
	{
		OwnerScope scope;

		OwnerEnterSpi(&scope);
		RightsRevokeAll();
		OwnerLeaveSpi(&scope);
	}
	if (!ShmemPresent())
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq is not preloaded, so no handler runs in this server"),
				 errdetail("Jobs can be enqueued, claimed and settled, but no pool runs, and expired leases end only when somebody claims."),
				 errhint("Set shared_preload_libraries = '%s' in postgresql.conf and restart the server.", PreloadLine())));
	else if (ShmemDatabase(MyDatabaseId, true) == NULL)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("taskq has no room for another database, so no pool will run here"),
				 errhint("Raise taskq.max_databases and restart the server.")));
	else
		WakeLauncher(MyDatabaseId);
	PG_RETURN_VOID();
}
