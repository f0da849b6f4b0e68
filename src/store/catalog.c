/*
 * catalog.c
 *	  What this process knows of the extension, and opening its tables.
 *
 * What was found is kept until an invalidation says that it may have changed.
 * There is no system cache for extensions, so no invalidation tells of their
 * changes.  But each script of an extension changes functions, so the extension is
 * looked up again after any change of a function or a schema.  That costs three index
 * scans.  Others must read the tables again only if another installation was found.
 */
#include "taskq.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "store/catalog.h"
#include "store/columns.h"
#include "store/installation.h"
#include "store/kept.h"
#include "store/kit.h"
#include "store/leaf.h"
#include "store/leaf_find.h"

/* The extension as it was found last.  All fields are zero if there is none. */
static Installation installed;
static bool			installed_valid = false;	 /* "installed" is up to date */
static bool			rels_valid = false;			 /* likewise for the OIDs of tables and indexes */
static bool			looking = false;			 /* a look-up is in progress, or an error has interrupted it */
static Definitions	definitions;				 /* version of the tables */
static bool			columns_checked[TASKQ_RELS]; /* since the tables were found */

/* Incremented when registrations of external workers may have changed. */
static uint64 workers_version = 1;

static CatalogWatcher watcher = NULL;

/* invalidations ------------------------------------------------------------- */

void
CatalogWatch(CatalogWatcher function)
{
	Assert(watcher == NULL);
	watcher = function;
}

static void
TellWatcher(TaskqRel rel)
{
	if (watcher != NULL)
		watcher(rel);
}

static void
InvalidateByRelation(Datum arg, Oid relid)
{
	TaskqRel rel = OidIsValid(relid) ? RelOfOid(relid) : TASKQ_RELS;

	KitInvalidate(relid);
	LeafInvalidate(relid);
	LeafFindInvalidate(relid);
	if (!OidIsValid(relid))
		installed_valid = rels_valid = false;
	else if (rel == TASKQ_RELS)
		return;
	else if (rel != REL_NEWS)
		rels_valid = false; /* it may have been replaced, for example an index by REINDEX CONCURRENTLY */
	if (rel == REL_WORKERS || rel == TASKQ_RELS)
		workers_version++;
	TellWatcher(rel);
}

/*
 * Called when a function or a schema has changed.  A script may have updated the
 * extension to another version, or the extension may have been dropped.
 */
static void
InvalidateByDefinition(Datum arg, int cacheid, uint32 hashvalue)
{
	installed_valid = false;
}

void
CatalogInit(void)
{
	CacheRegisterRelcacheCallback(InvalidateByRelation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, InvalidateByDefinition, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, InvalidateByDefinition, (Datum) 0);
}

/* looking up --------------------------------------------------------------- */

/* Look the extension up again, and forget the tables of another installation. */
static void
LookUp(void)
{
	Installation found = InstallationFind();

	if (InstallationIsSame(&found, &installed))
		return;
	installed = found;
	rels_valid = false;
	RelsForget();
	workers_version++;
	TellWatcher(TASKQ_RELS);
}

/* Find the tables and their indexes. */
static void
FindRels(void)
{
	bool complete = RelsFind(installed.schema);

	memset(columns_checked, false, sizeof(columns_checked));
	if (installed.newer)
		definitions = DEFINITIONS_NEWER;
	else
		definitions = complete ? DEFINITIONS_MATCH : DEFINITIONS_OLDER;
}

/* Is taskq installed in this database?  A transaction must be in progress. */
bool
CatalogInstalled(void)
{
	if (installed_valid && rels_valid && !looking)
		return true;

	/* an error has interrupted the last look-up */
	if (looking)
		installed_valid = rels_valid = false;
	looking = true;
	while (!installed_valid || !rels_valid)
	{
		/*
		 * Each flag is set first, so that an invalidation that arrives during the
		 * look-up clears it, and the look-up is repeated.
		 */
		if (!installed_valid)
		{
			installed_valid = true;
			LookUp();
		}
		if (!OidIsValid(installed.extension))
		{
			/* only an installation that was found is remembered */
			installed_valid = looking = false;
			return false;
		}
		if (!rels_valid)
		{
			rels_valid = true;
			FindRels();
		}
	}
	looking = false;
	return true;
}

/*
 * Are the SQL definitions of the library's version?  Without taskq,
 * DEFINITIONS_MATCH is returned.
 */
Definitions
CatalogDefinitions(void)
{
	return CatalogInstalled() ? definitions : DEFINITIONS_MATCH;
}

bool
CatalogMatches(void)
{
	return CatalogInstalled() && definitions == DEFINITIONS_MATCH;
}

/* What to do where the SQL definitions are not what this library was made for. */
const char *
CatalogDefinitionsHint(void)
{
	if (definitions == DEFINITIONS_NEWER)
		return "Restart the server to load the library that was installed with them.";
	if (installed.same_version)
		return "Both are of the same version, so ALTER EXTENSION cannot mend them. Restore the table or column that is missing, or run DROP EXTENSION taskq CASCADE and CREATE EXTENSION taskq, which removes all jobs.";
	return "Run ALTER EXTENSION taskq UPDATE.";
}

static void
RequireInstalled(void)
{
	if (!CatalogInstalled())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension taskq is not installed in this database"),
				 errhint("Run CREATE EXTENSION taskq.")));
}

/*
 * Raise an error unless the tables are of the library's version.  The library
 * cannot know how a newer script has changed the tables, or what it may have stored
 * in them.
 */
void
CatalogRequire(void)
{
	RequireInstalled();
	if (definitions == DEFINITIONS_OLDER)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq's SQL definitions are older than its library"),
				 errhint("%s", CatalogDefinitionsHint())));
	if (definitions == DEFINITIONS_NEWER)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq's SQL definitions are newer than its library"),
				 errdetail("The library is version %s.", TASKQ_VERSION),
				 errhint("%s", CatalogDefinitionsHint())));
}

/*
 * Check after a wait that the extension still exists and is of the library's
 * version.  Raises an error otherwise.
 */
void
CatalogRecheck(void)
{
	AcceptInvalidationMessages();
	CatalogRequire();
}

Oid
CatalogExtension(void)
{
	RequireInstalled();
	return installed.extension;
}

Oid
CatalogSchema(void)
{
	RequireInstalled();
	return installed.schema;
}

Oid
CatalogOwner(void)
{
	RequireInstalled();
	return installed.owner;
}

/* Return the row type taskq.job. */
Oid
CatalogJobType(void)
{
	Oid type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("job"),
							   ObjectIdGetDatum(CatalogSchema()));

	if (!OidIsValid(type))
	{
		/* if the extension has just been dropped, report that instead */
		(void) CatalogSchema();
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type taskq.job does not exist")));
	}
	return type;
}

/*
 * Return the OID of a table, sequence or index.  For an index, call this after its
 * table has been opened: the answer holds as long as the table is locked.
 */
Oid
CatalogRel(TaskqRel rel)
{
	CatalogRequire();
	if (RelIsMissingIndex(rel))
	{
		/* creating an index invalidates the table, but renaming one does not */
		rels_valid = false;
		CatalogRequire();
	}
	if (RelIsMissingIndex(rel))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("index \"%s\" of table taskq.%s does not exist", RelName(rel), RelName(RelTable(rel))),
				 errdetail("taskq cannot work without it."),
				 errhint("Run %s;", RelIndexDefinition(rel))));
	return RelOid(rel);
}

/* Like CatalogRel(), but works with SQL definitions of another version, too. */
Oid
CatalogRelIfThere(TaskqRel rel)
{
	RequireInstalled();
	return RelOid(rel);
}

/*
 * Return the name of an index that is missing, or NULL.  If "definition" is not
 * NULL, it is set to the statement that creates the index.
 */
const char *
CatalogMissingIndex(const char **definition)
{
	for (TaskqRel rel = 0; CatalogMatches() && rel < TASKQ_RELS; rel++)
		if (RelIsMissingIndex(rel))
		{
			if (definition != NULL)
				*definition = RelIndexDefinition(rel);
			return RelName(rel);
		}
	return NULL;
}

/*
 * Check the names and types of the columns of a table, or of one of its leaves, before
 * anybody reads its rows.
 */
void
CatalogCheckColumns(TaskqRel rel, Relation opened)
{
	TupleDesc desc = RelationGetDescr(opened);
	int		  other = ColumnsFirstOther(rel, desc);

	if (other != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table taskq.%s was changed", NameStr(TupleDescAttr(desc, other - 1)->attname), RelationGetRelationName(opened)),
				 errdetail("taskq reads the columns of its tables as CREATE EXTENSION has made them."),
				 errhint("Give the table its definition back, or create the extension anew.")));
}

/* Open a relation for CatalogOpen() or CatalogOpenToWrite(). */
static Relation
Open(TaskqRel rel, LOCKMODE mode, bool *is_kept)
{
	for (;;)
	{
		Oid		 relid = CatalogRel(rel);
		Relation opened = is_kept == NULL ? try_relation_open(relid, mode) : KeptOpen(relid, is_kept);

		/* invalidations were processed when the lock was acquired */
		if (opened != NULL && CatalogRel(rel) == relid)
		{
			/* any change of the table has the tables found again, and then this is reset */
			if (!columns_checked[rel])
				CatalogCheckColumns(rel, opened);
			columns_checked[rel] = true;
			Assert(ColumnsFirstOther(rel, RelationGetDescr(opened)) == 0);
			return opened;
		}
		if (opened != NULL)
			relation_close(opened, is_kept != NULL && *is_kept ? NoLock : mode);
		CHECK_FOR_INTERRUPTS();
		AcceptInvalidationMessages();
		rels_valid = false;
	}
}

/*
 * Open one of taskq's tables or sequences.  During a wait for the lock, the
 * extension may be dropped, and the table with it.  Then the usual error is raised.
 * If the extension was created again, the new table is opened.
 */
Relation
CatalogOpen(TaskqRel rel, LOCKMODE mode)
{
	return Open(rel, mode, NULL);
}

/* The same, in RowExclusiveLock.  kept.h says what "is_kept" is. */
Relation
CatalogOpenToWrite(TaskqRel rel, bool *is_kept)
{
	return Open(rel, RowExclusiveLock, is_kept);
}

/* Return the version of the registrations of external workers. */
uint64
CatalogWorkersVersion(void)
{
	return workers_version;
}

/* Make this process read the registrations of external workers again. */
void
CatalogOutdateWorkers(void)
{
	workers_version++;
}
