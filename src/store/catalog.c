/*
 * catalog.c
 *	  Where taskq's own tables are, and when what was read from them is stale.
 *
 * Queues, handlers, routes, pools and workers are read whole and kept in each
 * process.  A change says so twice: by a relcache invalidation, which reaches
 * this transaction, every later one and servers without preload; and by a
 * counter in shared memory that the commit callback raises (wake.c), because a
 * worker may look at any moment and must not wait for the next invalidation that
 * it happens to process.
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

/* The names of tables, indexes and sequences, and what an index must be. */
static const struct
{
	const char *name;
	TaskqRel	table; /* of an index */
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
static bool		   rels_valid = false; /* and where the tables and indexes are */
static bool		   catalog_loading = false;
static Oid		   extension_oid;
static Oid		   schema_oid;
static Oid		   owner_oid;
static Oid		   rel_oids[TASKQ_RELS];
static bool		   columns_checked[TASKQ_RELS]; /* since the tables were found */
static bool		   newer;						/* the extension's version is beyond ours */
static bool		   same_version;				/* the extension's version is ours */
static Definitions definitions;					/* of its tables */

/* Raised by invalidations; everything that was read under another is stale. */
static uint64 catalog_version = 1;
static uint64 registry_version = 1; /* the same, but for new routes */
static uint64 workers_version = 1;	/* the same for registrations of external workers */
static uint64 shared_version_seen = 0;
static bool	  superusers_seen = false; /* the setting that handlers were judged by */

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

	/* it may have been swapped for another: an index by REINDEX CONCURRENTLY, say */
	for (int i = 0; i < TASKQ_RELS && rels_valid; i++)
		if (relid == rel_oids[i])
			rels_valid = false;
}

/* A role, who is a member of it, or the right to connect changed: handlers may have become runnable or not. */
static void
InvalidateByRole(Datum arg, int cacheid, uint32 hashvalue)
{
	Outdate();
}

/* The same of a function; or a script has brought the extension to another version. */
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
 * The extension's owner, and whether its version is beyond ours; there is no
 * system cache for pg_extension.
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

/* How many columns a relation has; -1 when there is none of this oid.  A table of an older version has fewer. */
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

/* Find the extension anew.  A schema that only bears the name is not ours. */
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

/* Find its tables and their indexes anew. */
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

/* Is taskq installed in this database?  Needs a transaction. */
bool
CatalogInstalled(void)
{
	/* an error has cut the last look short */
	if (catalog_loading)
		catalog_valid = rels_valid = catalog_loading = false;
	while (!catalog_valid || !rels_valid)
	{
		catalog_loading = true;
		if (!catalog_valid)
		{
			/*
			 * Only found installations are remembered.  Set before the look: if an
			 * invalidation comes in meanwhile, look again.
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

/* Are the SQL definitions what this library was made for?  Without taskq they are. */
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
 * Whoever reads the tables needs them as this library knows them.  What a newer
 * script has made of them, or may have put into them, it cannot know.
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

/* After a wait: what has become of the extension meanwhile?  An error if it has gone. */
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

/* The row type taskq.job. */
Oid
CatalogJobType(void)
{
	Oid type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("job"),
							   ObjectIdGetDatum(CatalogSchema()));

	if (!OidIsValid(type))
	{
		/* if that is so because the extension has just been dropped, say this */
		(void) CatalogSchema();
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type taskq.job does not exist")));
	}
	return type;
}

/* Has somebody dropped an index without which nothing works? */
static bool
IsMissing(TaskqRel rel)
{
	return rels[rel].index.n_keys > 0 && !OidIsValid(rel_oids[rel]);
}

/*
 * Where a table or sequence is; or an index, which is asked for when its table
 * has been opened: so long as that is locked the answer holds.
 */
Oid
CatalogRel(TaskqRel rel)
{
	RequireTables();
	if (IsMissing(rel))
	{
		/* a new one is announced for the table, but its other name is not */
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

/* The same without a word about definitions of another version. */
Oid
CatalogRelIfThere(TaskqRel rel)
{
	RequireInstalled();
	return rel_oids[rel];
}

/* The name of an index that is missing, and the statement that makes it if that is asked for; or NULL. */
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
 * Open one of taskq's tables or sequences.  Whoever has to wait for the lock may
 * find that it has been dropped meanwhile, with the extension, which is said as at
 * any other time; or that there is another one, by which one goes then.
 */
Relation
CatalogOpen(TaskqRel rel, LOCKMODE mode)
{
	for (;;)
	{
		Oid		 relid = CatalogRel(rel);
		Relation opened = try_relation_open(relid, mode);

		/* the lock came with the news of what others have done */
		if (opened != NULL && CatalogRel(rel) == relid)
		{
			/* any change of the table invalidates it, and then it is found again */
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

/* What was read under another version than this must be read again. */
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

/* The same for whom new routes do not matter, of which a transaction may make thousands. */
uint64
CatalogRegistryVersion(void)
{
	(void) CatalogVersion();
	return registry_version;
}

/* The same for external workers, with CatalogVersion(). */
uint64
CatalogWorkersVersion(void)
{
	return workers_version;
}

/*
 * Learn of all changes that were committed before this call, for a decision that
 * must go by them.
 *
 * A change becomes visible before the news of it is sent.  So its transaction
 * announces it before it commits and withdraws that when the news has been sent
 * (wake.c).  A caller that finds an announcement does not know on which side of the
 * commit it is, and reads everything anew.  A caller that finds none is either before
 * the commit or after the news.  Without preload there are no announcements, and a
 * change may be missed until its COMMIT returns.
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

/* Tell this and, at commit, every process that a table's rows changed. */
void
CatalogChanged(TaskqRel rel)
{
	CacheInvalidateRelcacheByRelid(CatalogRel(rel));
	CommandCounterIncrement();
	WakeConfigChanged();
}

/*
 * Have a new, empty context for what is read anew.  What was read before stays
 * until the transaction ends: whoever asks for a handler, say, may have it read
 * anew by his next question, and goes on with the first answer.
 */
void
CatalogRenew(MemoryContext *context, const char *name)
{
	if (*context != NULL)
		MemoryContextSetParent(*context, TopTransactionContext);
	*context = AllocSetContextCreateInternal(TopMemoryContext, name, ALLOCSET_DEFAULT_SIZES);
}
