/*
 * taskq.c
 *	  Loading the library.
 */
#include "taskq.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "base/guc.h"
#include "config/changes.h"
#include "config/stale.h"
#include "config/depends_on.h"
#include "job/access.h"
#include "job/admit_xact.h"
#include "job/frames.h"
#include "observers.h"
#include "process/ddl.h"
#include "process/launcher.h"
#include "ready/key_lane.h"
#include "ready/ready.h"
#include "registry/compiled.h"
#include "registry/confine.h"
#include "shared/blame.h"
#include "shared/counts.h"
#include "shared/budgets.h"
#include "shared/fair_share.h"
#include "shared/holders.h"
#include "shared/rates.h"
#include "shared/locks.h"
#include "shared/interest.h"
#include "shared/news.h"
#include "shared/permits.h"
#include "shared/shmem.h"
#include "shared/stats.h"
#include "shared/wake.h"
#include "store/catalog.h"
#include "store/kept.h"
#include "store/kit.h"
#include "store/table_check.h"
#include "store/table_guard.h"

TASKQ_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* Return the OID of taskq.jobs, for files of rooms that do not know the catalog. */
static Oid
FindJobsTable(bool must_be_there)
{
	if (!must_be_there && !CatalogMatches())
		return InvalidOid;
	return CatalogRel(REL_JOBS);
}

void
_PG_init(void)
{
	GucInit();
	CatalogInit();
	NewsInit();
	InterestInit();
	StaleInit();
	ChangesInit();
	DependsInit();
	ConfineInit();
	CompiledInit();
	KitInit();
	KeptInit();
	LocksInit();
	WakeInit();
	StatsInit();
	CountsInit(FindJobsTable);
	PermitsInit();
	HoldersInit();
	FairShareInit();
	RatesInit();
	BudgetsInit();
	TableGuardInit();
	TableCheckInit();
	FramesInit();
	ReadyLanesInit();
	KeyLanesInit();
	ReadyInit();
	AccessInit();
	AdmissionInit();
	BlameInit();
	DdlInit();
	ObserversInit();

	/*
	 * Without preload the functions work all the same, and taskq.status() says
	 * what is missing.  pg_upgrade starts servers in which nothing may run.
	 */
	if (!process_shared_preload_libraries_in_progress)
		return;
	ShmemInit();
	if (!IsBinaryUpgrade)
		LauncherRegister();
}
