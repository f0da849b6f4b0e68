/*
 * taskq.c
 *	  Loading the library.
 */
#include "taskq.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "blame.h"
#include "catalog.h"
#include "compat.h"
#include "confine.h"
#include "ddl.h"
#include "frames.h"
#include "guc.h"
#include "kit.h"
#include "launcher.h"
#include "locks.h"
#include "ready.h"
#include "shmem.h"
#include "stats.h"
#include "table_guard.h"
#include "wake.h"

TASKQ_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	GucInit();
	CatalogInit();
	ConfineInit();
	KitInit();
	LocksInit();
	WakeInit();
	StatsInit();
	TableGuardInit();
	FramesInit();
	ReadyLanesInit();
	ReadyInit();
	BlameInit();
	DdlInit();

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
