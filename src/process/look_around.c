/*
 * look_around.c
 *	  Checking whether taskq's processes may work in this database.
 */
#include "taskq.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#include "config/adopt.h"
#include "process/look_around.h"
#include "store/catalog.h"

/*
 * Does the database belong to this installation?  If not, nothing is done in it,
 * and that is logged once.
 */
static bool
IsAdopted(void)
{
	static bool said = false;
	bool		adopted = AdoptedHere();

	if (!adopted && !said)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("database \"%s\" was restored, copied or renamed, so its taskq jobs wait",
						get_database_name(MyDatabaseId)),
				 errhint("If they are to run there, call taskq.adopt_database().")));
	said = !adopted;
	return adopted;
}

/*
 * Do the SQL definitions match the library?  If not, nothing is done in the
 * database, and that is logged once.
 */
static bool
DefinitionsMatch(void)
{
	static Definitions said = DEFINITIONS_MATCH;
	Definitions		   definitions = CatalogDefinitions();

	if (definitions == DEFINITIONS_OLDER && said != definitions)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq's SQL definitions in database \"%s\" are older than its library, so its jobs wait",
						get_database_name(MyDatabaseId)),
				 errhint("%s", CatalogDefinitionsHint())));
	if (definitions == DEFINITIONS_NEWER && said != definitions)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq's SQL definitions in database \"%s\" are newer than its library, so its jobs wait",
						get_database_name(MyDatabaseId)),
				 errhint("%s", CatalogDefinitionsHint())));
	said = definitions;
	return definitions == DEFINITIONS_MATCH;
}

/* Fill in a Surroundings struct, in the caller's transaction. */
void
LookAround(void *arg)
{
	Surroundings *found = arg;

	found->leave = !CatalogInstalled();
	found->idle = found->leave || !DefinitionsMatch() || !IsAdopted();
}
