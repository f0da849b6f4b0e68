/*
 * installation.c
 *	  Finding the extension in the system catalogs: its schema, its owner and its
 *	  version.  catalog.c keeps what was found.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/version.h"
#include "store/installation.h"

/*
 * Find the owner and the version of found->extension.  There is no system cache for
 * pg_extension.
 */
static void
FindOwner(Installation *found)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(found->extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool  isnull;
		Datum version = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		found->owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
		found->newer = !VersionAtLeast(TASKQ_VERSION, TextDatumGetCString(version));
		found->same_version = strcmp(TASKQ_VERSION, TextDatumGetCString(version)) == 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Find the extension.  A schema that only has the extension's name is not used. */
Installation
InstallationFind(void)
{
	Installation none = { 0 };
	Installation found = { 0 };

	found.extension = get_extension_oid("taskq", true);
	if (!OidIsValid(found.extension))
		return none;
	found.schema = get_namespace_oid(TASKQ_SCHEMA, true);
	if (!OidIsValid(found.schema) ||
		getExtensionOfObject(NamespaceRelationId, found.schema) != found.extension)
		return none;
	FindOwner(&found);
	return OidIsValid(found.owner) ? found : none;
}

bool
InstallationIsSame(const Installation *a, const Installation *b)
{
	return a->extension == b->extension && a->schema == b->schema && a->owner == b->owner &&
		   a->newer == b->newer && a->same_version == b->same_version;
}
