/*
 * catalog.c
 *	  Finding taskq's own tables, and knowing when what was read from them is
 *	  outdated.
 *
 * Each process reads queues, handlers, routes, pools and workers completely and
 * keeps them in memory.  A change of them is announced in two ways.  A relcache
 * invalidation reaches this transaction, later ones, and sessions of servers
 * without preload.  And the commit callback increments a counter in shared memory
 * (wake.c), because a worker may look at any time, before it happens to process the
 * invalidation.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/guc.h"
#include "base/version.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/catalog.h"
#include "store/columns.h"
#include "store/find_index.h"
#include "store/kit.h"

/* Names of tables, indexes and sequences, and the definitions of the indexes. */
static const struct
{
	const char *name;
	TaskqRel	table; /* the table of an index */
	IndexWanted index;
} rels[TASKQ_RELS] = {
	[REL_JOBS] = { "jobs" },
	[REL_JOBS_PKEY] = { "jobs_pkey", REL_JOBS, { 1, { 1 }, .definition = "ALTER TABLE taskq.jobs ADD CONSTRAINT jobs_pkey PRIMARY KEY (job_id)" } },
	[REL_JOBS_OPEN] = { "jobs_open", REL_JOBS, { 4, { 5, 8, 2, 1 }, .gate_column = 12, .gate = 'o', .definition = "CREATE INDEX jobs_open ON taskq.jobs (route_id, priority, run_at, job_id) WHERE gate = 'o'" } },
	[REL_JOBS_RUNNING] = { "jobs_running", REL_JOBS, { 2, { 21, 1 }, .collation = C_COLLATION_OID, .gate_column = 12, .gate = 'r', .definition = "CREATE INDEX jobs_running ON taskq.jobs (worker_id COLLATE \"C\", job_id) WHERE gate = 'r'" } },
	[REL_HISTORY] = { "job_history" },
	[REL_HISTORY_OVERFLOW] = { "job_history_overflow" },
	[REL_FAILURES] = { "attempt_failures" },
	[REL_ROUTES] = { "routes" },
	[REL_QUEUES] = { "queue_defs" },
	[REL_HANDLERS] = { "handlers" },
	[REL_POOLS] = { "pool_defs" },
	[REL_WORKERS] = { "external_workers" },
	[REL_WORKERS_PKEY] = { "external_workers_pkey", REL_WORKERS, { 1, { 1 }, .collation = DEFAULT_COLLATION_OID, .definition = "ALTER TABLE taskq.external_workers ADD CONSTRAINT external_workers_pkey PRIMARY KEY (worker_id)" } },
	[REL_CANCELS] = { "cancel_requests" },
	[REL_CANCELS_JOB] = { "cancel_requests_job", REL_CANCELS, { 1, { 2 }, .definition = "CREATE INDEX cancel_requests_job ON taskq.cancel_requests (job_id)" } },
	[REL_INSTALLATION] = { "installation" },
	[REL_JOB_ID_SEQ] = { "job_id_seq" },
	[REL_EPOCH_SEQ] = { "epoch_seq" },
	[REL_EVENTS] = { "event_log" },
	[REL_EVENTS_OVERFLOW] = { "event_log_overflow" },
	[REL_EVENT_ID_SEQ] = { "event_id_seq" },
	[REL_FRAMES] = { "frame_log" },
	[REL_GRANTS] = { "access_grants" },
	[REL_RIGHTS] = { "access_rights" },
	[REL_HANDLER_CHANGES] = { "handler_changes" },
};

static bool		   catalog_valid = false;
static bool		   rels_valid = false; /* likewise for rel_oids */
static bool		   catalog_loading = false;
static Oid		   extension_oid;
static Oid		   schema_oid;
static Oid		   owner_oid;
static Oid		   rel_oids[TASKQ_RELS];
static bool		   columns_checked[TASKQ_RELS]; /* since rel_oids were found */
static bool		   newer;						/* the extension's version is newer than the library's */
static bool		   same_version;				/* the extension's version is the library's */
static Definitions definitions;					/* version of the tables */

/*
 * Incremented by invalidations.  Everything that was read under an older version is
 * outdated.
 */
static uint64 catalog_version = 1;
static uint64 registry_version = 1; /* the same, but not for new routes */
static uint64 workers_version = 1;	/* the same, only for registrations of external workers */
static uint64 shared_version_seen = 0;
static bool	  superusers_seen = false; /* the setting when handlers were read */

static void
Outdate(void)
{
	catalog_version++;
	registry_version++;
}

static void
InvalidateByRelation(Datum arg, Oid relid)
{
	KitInvalidate(relid);
	if (!catalog_valid)
		return;
	if (!OidIsValid(relid))
	{
		catalog_valid = false;
		Outdate();
		return;
	}
	if (relid == rel_oids[REL_ROUTES])
		catalog_version++;
	if (relid == rel_oids[REL_QUEUES] || relid == rel_oids[REL_HANDLERS] || relid == rel_oids[REL_POOLS] ||
		relid == rel_oids[REL_INSTALLATION] || relid == rel_oids[REL_GRANTS])
		Outdate();
	if (relid == rel_oids[REL_WORKERS])
		workers_version++;

	/* it may have been replaced, for example an index by REINDEX CONCURRENTLY */
	for (int i = 0; i < TASKQ_RELS && rels_valid; i++)
		if (relid == rel_oids[i])
			rels_valid = false;
}

/*
 * Called when a role, a membership or a privilege on the database changes.
 * Handlers may have become runnable, or not runnable any more.
 */
static void
InvalidateByRole(Datum arg, int cacheid, uint32 hashvalue)
{
	Outdate();
}

/*
 * Called when a function has changed, or when a script may have updated the
 * extension to another version.
 */
static void
InvalidateByDefinition(Datum arg, int cacheid, uint32 hashvalue)
{
	catalog_valid = false;
	Outdate();
}

void
CatalogInit(void)
{
	CacheRegisterRelcacheCallback(InvalidateByRelation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, InvalidateByDefinition, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, InvalidateByDefinition, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, InvalidateByRole, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, InvalidateByRole, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, InvalidateByRole, (Datum) 0);
}

/*
 * Find the extension's owner, and whether its version is newer than the library's.
 * There is no system cache for pg_extension.
 */
static Oid
FindExtensionOwner(Oid extension)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool  isnull;
		Datum version = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
		newer = !VersionAtLeast(TASKQ_VERSION, TextDatumGetCString(version));
		same_version = strcmp(TASKQ_VERSION, TextDatumGetCString(version)) == 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return owner;
}

/*
 * Return how many columns a relation has, or -1 if it does not exist.  A table of
 * an older version has fewer columns.
 */
static int
CountColumns(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int		  columns = -1;

	if (HeapTupleIsValid(tuple))
	{
		columns = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
		ReleaseSysCache(tuple);
	}
	return columns;
}

/* Find the extension.  A schema that only has the extension's name is not used. */
static bool
LoadCatalog(void)
{
	newer = same_version = false;
	extension_oid = get_extension_oid("taskq", true);
	if (!OidIsValid(extension_oid))
		return false;
	schema_oid = get_namespace_oid(TASKQ_SCHEMA, true);
	if (!OidIsValid(schema_oid) ||
		getExtensionOfObject(NamespaceRelationId, schema_oid) != extension_oid)
		return false;
	owner_oid = FindExtensionOwner(extension_oid);
	return OidIsValid(owner_oid);
}

/* Find the tables and their indexes. */
static void
LoadRels(void)
{
	definitions = newer ? DEFINITIONS_NEWER : DEFINITIONS_MATCH;
	memset(columns_checked, false, sizeof(columns_checked));
	for (int i = 0; i < TASKQ_RELS; i++)
	{
		if (rels[i].index.n_keys > 0)
			continue;
		rel_oids[i] = get_relname_relid(rels[i].name, schema_oid);
		if (definitions == DEFINITIONS_MATCH && CountColumns(rel_oids[i]) < ColumnsCount(i))
			definitions = DEFINITIONS_OLDER;
	}
	for (int i = 0; i < TASKQ_RELS; i++)
		if (rels[i].index.n_keys > 0)
			rel_oids[i] = IndexFind(&rels[i].index, rels[i].name, rel_oids[rels[i].table]);
}

/* Is taskq installed in this database?  A transaction must be in progress. */
bool
CatalogInstalled(void)
{
	/* an error has interrupted the last look-up */
	if (catalog_loading)
		catalog_valid = rels_valid = catalog_loading = false;
	while (!catalog_valid || !rels_valid)
	{
		catalog_loading = true;
		if (!catalog_valid)
		{
			/*
			 * Only an installation that was found is remembered.  Set the flag
			 * first, so that an invalidation that arrives during the look-up clears
			 * it, and the look-up is repeated.
			 */
			catalog_valid = true;
			memset(rel_oids, 0, sizeof(rel_oids));
			Outdate();
			if (!LoadCatalog())
			{
				catalog_valid = catalog_loading = false;
				return false;
			}
		}
		rels_valid = true;
		LoadRels();
		catalog_loading = false;
	}
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
	if (same_version)
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
static void
RequireTables(void)
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
	RequireTables();
}

Oid
CatalogExtension(void)
{
	RequireInstalled();
	return extension_oid;
}

Oid
CatalogSchema(void)
{
	RequireInstalled();
	return schema_oid;
}

Oid
CatalogOwner(void)
{
	RequireInstalled();
	return owner_oid;
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

/* Has a required index been dropped? */
static bool
IsMissing(TaskqRel rel)
{
	return rels[rel].index.n_keys > 0 && !OidIsValid(rel_oids[rel]);
}

/*
 * Return the OID of a table, sequence or index.  For an index, call this after its
 * table has been opened: the answer holds as long as the table is locked.
 */
Oid
CatalogRel(TaskqRel rel)
{
	RequireTables();
	if (IsMissing(rel))
	{
		/* creating an index invalidates the table, but renaming one does not */
		rels_valid = false;
		RequireTables();
	}
	if (IsMissing(rel))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("index \"%s\" of table taskq.%s does not exist", rels[rel].name, rels[rels[rel].table].name),
				 errdetail("taskq cannot work without it."),
				 errhint("Run %s;", rels[rel].index.definition)));
	return rel_oids[rel];
}

/* Like CatalogRel(), but works with SQL definitions of another version, too. */
Oid
CatalogRelIfThere(TaskqRel rel)
{
	RequireInstalled();
	return rel_oids[rel];
}

/*
 * Return the name of an index that is missing, or NULL.  If "definition" is not
 * NULL, it is set to the statement that creates the index.
 */
const char *
CatalogMissingIndex(const char **definition)
{
	for (int i = 0; CatalogMatches() && i < TASKQ_RELS; i++)
		if (IsMissing(i))
		{
			if (definition != NULL)
				*definition = rels[i].index.definition;
			return rels[i].name;
		}
	return NULL;
}

/* Check the names and types of a table's columns before anybody reads its rows. */
void
CatalogCheckColumns(TaskqRel rel, Relation opened)
{
	TupleDesc desc = RelationGetDescr(opened);
	int		  other = ColumnsFirstOther(rel, desc);

	if (other != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table taskq.%s was changed", NameStr(TupleDescAttr(desc, other - 1)->attname), rels[rel].name),
				 errdetail("taskq reads the columns of its tables as CREATE EXTENSION has made them."),
				 errhint("Give the table its definition back, or create the extension anew.")));
}

/*
 * Open one of taskq's tables or sequences.  During a wait for the lock, the
 * extension may be dropped, and the table with it.  Then the usual error is raised.
 * If the extension was created again, the new table is opened.
 */
Relation
CatalogOpen(TaskqRel rel, LOCKMODE mode)
{
	for (;;)
	{
		Oid		 relid = CatalogRel(rel);
		Relation opened = try_relation_open(relid, mode);

		/* invalidations were processed when the lock was acquired */
		if (opened != NULL && CatalogRel(rel) == relid)
		{
			/* any change of the table invalidates rel_oids, and then this is reset */
			if (!columns_checked[rel])
				CatalogCheckColumns(rel, opened);
			columns_checked[rel] = true;
			Assert(ColumnsFirstOther(rel, RelationGetDescr(opened)) == 0);
			return opened;
		}
		if (opened != NULL)
			relation_close(opened, mode);
		CHECK_FOR_INTERRUPTS();
		AcceptInvalidationMessages();
		rels_valid = false;
	}
}

/*
 * Return the version of the catalog.  What was read under another version must be
 * read again.
 */
uint64
CatalogVersion(void)
{
	uint64 shared = ShmemConfigVersion();

	if (shared != shared_version_seen || superusers_seen != taskq_allow_superuser_handlers)
	{
		shared_version_seen = shared;
		superusers_seen = taskq_allow_superuser_handlers;
		Outdate();
	}
	return catalog_version;
}

/*
 * The same for callers to whom new routes do not matter.  A transaction may create
 * thousands of routes.
 */
uint64
CatalogRegistryVersion(void)
{
	(void) CatalogVersion();
	return registry_version;
}

/* The same for registrations of external workers.  Call CatalogVersion(), too. */
uint64
CatalogWorkersVersion(void)
{
	return workers_version;
}

/*
 * Make sure that all changes that were committed before this call are seen, for a
 * decision that must not ignore them.
 *
 * A change becomes visible before its invalidation is sent.  So its transaction
 * announces it before the commit, and withdraws the announcement when the
 * invalidation has been sent (wake.c).  A caller that finds an announcement does
 * not know whether the commit has happened yet, and reads everything again.  A
 * caller that finds none is either before the commit or after the invalidation.
 * Without preload there are no announcements, and a change may be missed until its
 * COMMIT returns.
 */
void
CatalogCatchUp(void)
{
	bool commits = ShmemConfigCommits();

	AcceptInvalidationMessages();
	if (!commits)
		return;
	Outdate();
	workers_version++;
}

/*
 * Announce that rows of a table have changed: to this process now, and to all
 * processes at commit.
 */
void
CatalogChanged(TaskqRel rel)
{
	CacheInvalidateRelcacheByRelid(CatalogRel(rel));
	CommandCounterIncrement();
	WakeConfigChanged();
}

/*
 * Create a new, empty context for what is read again.  What was read before is kept
 * until the transaction ends.  For example, a caller that has looked up a handler
 * may look up another one, which may read all handlers again, and then go on using
 * the first.
 */
void
CatalogRenew(MemoryContext *context, const char *name)
{
	if (*context != NULL)
		MemoryContextSetParent(*context, TopTransactionContext);
	*context = AllocSetContextCreateInternal(TopMemoryContext, name, ALLOCSET_DEFAULT_SIZES);
}
