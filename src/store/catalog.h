/*
 * catalog.h
 *	  Finding taskq's own tables, and knowing when what was read from them is
 *	  outdated.
 */
#ifndef TASKQ_CATALOG_H
#define TASKQ_CATALOG_H

#include "taskq.h"

#include "storage/lockdefs.h"
#include "utils/relcache.h"

typedef enum TaskqRel
{
	REL_JOBS,
	REL_JOBS_PKEY,
	REL_JOBS_OPEN,
	REL_JOBS_RUNNING,
	REL_HISTORY,
	REL_HISTORY_OVERFLOW,
	REL_FAILURES,
	REL_ROUTES,
	REL_QUEUES,
	REL_HANDLERS,
	REL_POOLS,
	REL_WORKERS,
	REL_WORKERS_PKEY,
	REL_CANCELS,
	REL_CANCELS_JOB,
	REL_INSTALLATION,
	REL_JOB_ID_SEQ,
	REL_EPOCH_SEQ,
	REL_EVENTS,
	REL_EVENTS_OVERFLOW,
	REL_EVENT_ID_SEQ,
	REL_FRAMES,
	REL_GRANTS,
	REL_RIGHTS,
	REL_HANDLER_CHANGES
} TaskqRel;
#define TASKQ_RELS (REL_HANDLER_CHANGES + 1)

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
extern void		   CatalogRecheck(void);
extern Oid		   CatalogExtension(void);
extern Oid		   CatalogSchema(void);
extern Oid		   CatalogOwner(void);
extern Oid		   CatalogJobType(void);
extern Oid		   CatalogRel(TaskqRel rel);
extern Oid		   CatalogRelIfThere(TaskqRel rel);
extern void		   CatalogCheckColumns(TaskqRel rel, Relation opened);
extern Relation	   CatalogOpen(TaskqRel rel, LOCKMODE mode);
extern const char *CatalogMissingIndex(const char **definition);
extern uint64	   CatalogVersion(void);
extern uint64	   CatalogRegistryVersion(void);
extern uint64	   CatalogWorkersVersion(void);
extern void		   CatalogCatchUp(void);
extern void		   CatalogChanged(TaskqRel rel);
extern void		   CatalogRenew(MemoryContext *context, const char *name);

#endif /* TASKQ_CATALOG_H */
