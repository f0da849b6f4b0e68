/*
 * adopt.c
 *	  Is this the database that the installation was made in?
 *
 * A logical restore, a database made from a template and a renamed one bring
 * the jobs of another along.  They carry its row of taskq.installation, and
 * while a row names another cluster or database nothing runs here until an
 * administrator says that it should.  A promoted standby is the same cluster.
 */
#include "taskq.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/args.h"
#include "config/adopt.h"
#include "config/stale.h"
#include "store/catalog.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_is_adopted);

/* Columns of taskq.installation, in order. */
enum
{
	I_ID = 1,
	I_SYSTEM_IDENTIFIER,
	I_DATABASE_OID,
	I_DATABASE_NAME,
	I_ADOPTED_AT,
	I_ROLES_FROM
};

/* What the installation's row says, as of a version of the configuration. */
static struct
{
	uint64		version;	/* 0: nothing is known */
	bool		known;		/* it was read before */
	bool		ours;		/* it names this cluster and this database */
	TimestampTz roles_from; /* see AdoptedRolesFrom() */
} installation;

static void
ReadRow(TupleTableSlot *slot, void *arg)
{
	bool of_cluster = DatumGetInt64(SlotDatum(slot, I_SYSTEM_IDENTIFIER)) == (int64) GetSystemIdentifier();

	if (!of_cluster || DatumGetObjectId(SlotDatum(slot, I_DATABASE_OID)) != MyDatabaseId ||
		strcmp(SlotString(slot, I_DATABASE_NAME), get_database_name(MyDatabaseId)) != 0)
		installation.ours = false;
	if (of_cluster)
		installation.roles_from = Max(installation.roles_from, DatumGetTimestampTz(SlotDatum(slot, I_ROLES_FROM)));
	else
		installation.roles_from = DT_NOEND;
}

/*
 * A restore tells nobody of the rows that it brings, and a scheduler may have looked
 * before they were there.  So the row is read again after any change of the
 * configuration or of a function; and when the database turns out to be another one's,
 * everything else is read again, too.
 */
static void
ReadInstallation(void)
{
	uint64 current = ConfigVersion() + ConfigCodeVersion(); /* neither decreases */
	bool   known = installation.known;
	bool   ours = installation.ours;

	if (installation.version == current)
		return;
	installation.version = 0;
	installation.ours = true;
	installation.roles_from = DT_NOBEGIN;
	StoreScan(REL_INSTALLATION, ReadRow, NULL);
	installation.version = current;
	installation.known = true;
	if (known && installation.ours != ours)
		StaleEverything();
}

/* A rename needs the database for itself, so the answer holds in a session. */
bool
AdoptedHere(void)
{
	ReadInstallation();
	return installation.ours;
}

/*
 * Since when the roles of jobs are this cluster's.  Those of a dump are oids of
 * another, which may be anybody's here.
 */
TimestampTz
AdoptedRolesFrom(void)
{
	ReadInstallation();
	return installation.roles_from;
}

Datum
taskq_is_adopted(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 0);
	PG_RETURN_BOOL(AdoptedHere());
}
