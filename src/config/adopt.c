/*
 * adopt.c
 *	  Deciding whether this is the database in which taskq was installed.
 *
 * A logical restore, a database created from a template and a renamed database
 * contain the jobs of another database.  They also contain its row of
 * taskq.installation.  While that row names another cluster or database, no jobs
 * run here until an administrator adopts the database.  A promoted standby belongs
 * to the same cluster.
 */
#include "taskq.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "base/signature.h"
#include "config/adopt.h"
#include "config/stale.h"
#include "store/catalog.h"
#include "store/columns.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_is_adopted);

/* Contents of the rows of taskq.installation, as of a version of the configuration. */
static struct
{
	uint64		version;	/* 0 if not read yet */
	bool		known;		/* the rows were read before */
	uint64		ids;		/* identifies these rows: the sum of the hash values of their ids */
	bool		ours;		/* each row names this cluster and this database */
	TimestampTz roles_from; /* see AdoptedRolesFrom() */
} installation;

static void
ReadRow(TupleTableSlot *slot, void *arg)
{
	bool of_cluster = DatumGetInt64(SlotDatum(slot, Anum_installation_system_identifier)) == (int64) GetSystemIdentifier();

	installation.ids += hash_bytes_extended(DatumGetUUIDP(SlotDatum(slot, Anum_installation_installation_id))->data, UUID_LEN, 0);
	if (!of_cluster || DatumGetObjectId(SlotDatum(slot, Anum_installation_database_oid)) != MyDatabaseId ||
		strcmp(SlotString(slot, Anum_installation_database_name), get_database_name(MyDatabaseId)) != 0)
		installation.ours = false;
	if (of_cluster)
		installation.roles_from = Max(installation.roles_from, DatumGetTimestampTz(SlotDatum(slot, Anum_installation_roles_from)));
	else
		installation.roles_from = DT_NOEND;
}

/*
 * A restore announces the rows that it writes, like every statement by hand
 * (changes.c), but only if its session has loaded the library.  Without preload, the
 * session may not have loaded it, and this process may have read the tables before the
 * rows were there.  So the installation is read again after any change of the
 * configuration or of a function.  A restore adds the row of the dump.  If there are
 * other rows than before, all tables are read again.
 */
static void
ReadInstallation(void)
{
	uint64 current = ConfigVersion() + ConfigCodeVersion(); /* neither decreases */
	bool   known = installation.known;
	uint64 ids = installation.ids;

	if (installation.version == current)
		return;
	installation.version = 0;
	installation.ids = 0;
	installation.ours = true;
	installation.roles_from = DT_NOBEGIN;
	StoreScan(REL_INSTALLATION, ReadRow, NULL);
	installation.version = current;
	installation.known = true;
	if (known && installation.ids != ids)
		StaleMarkEverything();
}

/*
 * Is this database adopted?  A database cannot be renamed while it has sessions, so
 * the answer holds for the whole session.
 */
bool
AdoptedHere(void)
{
	ReadInstallation();
	return installation.ours;
}

/*
 * Return since when the roles of jobs are those of this cluster.  The roles of
 * restored jobs are OIDs of another cluster, and may belong to any role here.
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
	CheckCall(fcinfo);
	PG_RETURN_BOOL(AdoptedHere());
}
