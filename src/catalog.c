/*
 * catalog.c
 *	  Where taskq's own tables are, and when what was read from them is stale.
 *
 * Queues, handlers, routes, pools and workers are read whole and kept in each
 * process.  A change says so twice: by a relcache invalidation, which reaches
 * this transaction, every later one and servers without preload; and by a
 * counter in shared memory that the commit callback raises (wake.c), because a
 * worker that is woken by a commit may look before that commit's invalidations
 * have been sent.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "shmem.h"
#include "wake.h"

static const char *const rel_names[TASKQ_RELS] =
{
	[REL_JOBS] = "jobs",
	[REL_JOBS_PKEY] = "jobs_pkey",
	[REL_JOBS_OPEN] = "jobs_open",
	[REL_JOBS_RUNNING] = "jobs_running",
	[REL_HISTORY] = "job_history",
	[REL_HISTORY_OVERFLOW] = "job_history_overflow",
	[REL_FAILURES] = "attempt_failures",
	[REL_ROUTES] = "routes",
	[REL_QUEUES] = "queue_defs",
	[REL_HANDLERS] = "handlers",
	[REL_POOLS] = "pool_defs",
	[REL_WORKERS] = "external_workers",
	[REL_WORKERS_PKEY] = "external_workers_pkey",
	[REL_CANCELS] = "cancel_requests",
	[REL_CANCELS_JOB] = "cancel_requests_job",
	[REL_INSTALLATION] = "installation",
	[REL_JOB_ID_SEQ] = "job_id_seq",
	[REL_EPOCH_SEQ] = "epoch_seq",
};

static bool catalog_valid = false;
static Oid	extension_oid;
static Oid	schema_oid;
static Oid	owner_oid;
static Oid	rel_oids[TASKQ_RELS];

/* Raised by invalidations; everything that was read under another is stale. */
static uint64 catalog_version = 1;
static uint64 shared_version_seen = 0;

static void
InvalidateByRelation(Datum arg, Oid relid)
{
	if (!catalog_valid)
		return;
	if (!OidIsValid(relid))
	{
		catalog_valid = false;
		catalog_version++;
		return;
	}
	if (relid == rel_oids[REL_ROUTES] || relid == rel_oids[REL_QUEUES] ||
		relid == rel_oids[REL_HANDLERS] || relid == rel_oids[REL_POOLS] ||
		relid == rel_oids[REL_INSTALLATION])
		catalog_version++;
}

/* A function or role changed: handlers may have become runnable or not. */
static void
InvalidateByFunctionOrRole(Datum arg, int cacheid, uint32 hashvalue)
{
	catalog_version++;
}

static void
InvalidateBySchema(Datum arg, int cacheid, uint32 hashvalue)
{
	catalog_valid = false;
	catalog_version++;
}

void
CatalogInit(void)
{
	CacheRegisterRelcacheCallback(InvalidateByRelation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, InvalidateBySchema, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, InvalidateByFunctionOrRole, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, InvalidateByFunctionOrRole, (Datum) 0);
}

/* The extension's owner; there is no system cache for pg_extension. */
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
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return owner;
}

/* Find everything anew.  A schema that only bears the name is not ours. */
static bool
LoadCatalog(void)
{
	extension_oid = get_extension_oid("taskq", true);
	if (!OidIsValid(extension_oid))
		return false;
	schema_oid = get_namespace_oid(TASKQ_SCHEMA, true);
	if (!OidIsValid(schema_oid) ||
		getExtensionOfObject(NamespaceRelationId, schema_oid) != extension_oid)
		return false;
	owner_oid = FindExtensionOwner(extension_oid);
	for (int i = 0; i < TASKQ_RELS; i++)
	{
		rel_oids[i] = get_relname_relid(rel_names[i], schema_oid);
		if (!OidIsValid(rel_oids[i]))
			return false;
	}
	return OidIsValid(owner_oid);
}

/* Is taskq installed in this database?  Needs a transaction. */
bool
CatalogInstalled(void)
{
	if (!catalog_valid)
	{
		/*
		 * Only found installations are remembered.  Set before the look, so
		 * that an invalidation that comes in meanwhile is not forgotten.
		 */
		catalog_valid = true;
		memset(rel_oids, 0, sizeof(rel_oids));
		catalog_version++;
		if (!LoadCatalog())
			catalog_valid = false;
	}
	return catalog_valid;
}

static void
RequireCatalog(void)
{
	if (!CatalogInstalled())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension taskq is not installed in this database"),
				 errhint("Run CREATE EXTENSION taskq.")));
}

Oid
CatalogExtension(void)
{
	RequireCatalog();
	return extension_oid;
}

Oid
CatalogSchema(void)
{
	RequireCatalog();
	return schema_oid;
}

Oid
CatalogOwner(void)
{
	RequireCatalog();
	return owner_oid;
}

Oid
CatalogRel(TaskqRel rel)
{
	RequireCatalog();
	return rel_oids[rel];
}

/* What was read under another version than this must be read again. */
uint64
CatalogVersion(void)
{
	uint64		shared = ShmemConfigVersion();

	if (shared != shared_version_seen)
	{
		shared_version_seen = shared;
		catalog_version++;
	}
	return catalog_version;
}

/* Tell this and, at commit, every process that a table's rows changed. */
void
CatalogChanged(TaskqRel rel)
{
	CacheInvalidateRelcacheByRelid(CatalogRel(rel));
	CommandCounterIncrement();
	WakeConfigChanged();
}
