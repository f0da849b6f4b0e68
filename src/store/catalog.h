/*
 * catalog.h
 *	  What this process knows of the extension, and opening its tables.
 */
#ifndef TASKQ_CATALOG_H
#define TASKQ_CATALOG_H

#include "taskq.h"

#include "storage/lockdefs.h"
#include "utils/relcache.h"

#include "store/rels.h"

/* Version of taskq's SQL definitions in this database, compared with the library's. */
typedef enum Definitions
{
	DEFINITIONS_MATCH,
	DEFINITIONS_OLDER,
	DEFINITIONS_NEWER
} Definitions;

extern void		   CatalogInit(void);
extern bool		   CatalogInstalled(void);
extern Definitions CatalogDefinitions(void);
extern const char *CatalogDefinitionsHint(void);
extern bool		   CatalogMatches(void);
extern void		   CatalogRequire(void);
extern void		   CatalogRecheck(void);
extern Oid		   CatalogExtension(void);
extern Oid		   CatalogSchema(void);
extern Oid		   CatalogOwner(void);
extern Oid		   CatalogJobType(void);
extern Oid		   CatalogRel(TaskqRel rel);
extern Oid		   CatalogRelIfThere(TaskqRel rel);
extern void		   CatalogCheckColumns(TaskqRel rel, Relation opened);
extern Relation	   CatalogOpen(TaskqRel rel, LOCKMODE mode);
extern Relation	   CatalogOpenToWrite(TaskqRel rel, bool *is_kept);
extern const char *CatalogMissingIndex(const char **definition);
extern uint64	   CatalogWorkersVersion(void);
extern void		   CatalogOutdateWorkers(void);

/*
 * Called when a relation of taskq's may have changed.  With TASKQ_RELS, any of them
 * may have changed, or another installation was found.  A watcher is called by
 * invalidations, so it must not read the catalog and must not raise errors.
 */
typedef void (*CatalogWatcher)(TaskqRel rel);
extern void CatalogWatch(CatalogWatcher function);

#endif /* TASKQ_CATALOG_H */
