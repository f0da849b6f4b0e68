/*
 * commit.c
 *	  Commit the transaction of one or more runs, with or without waiting for the disk.
 *
 * An asynchronous commit (async_commit of the handler) returns before its WAL is on
 * disk.  A crash of the server may undo such a commit as a whole: the effects of the
 * runs and the outcomes of their jobs, which are then waiting again.  WAL is written in
 * order, so everything that was committed later on the base of it is undone, too.
 * Epochs are not given out twice, because the ceiling of their counter is on disk
 * before the first of them is used (store/counter.c).
 *
 * Code of users may still run at the beginning of a commit: the queries of cursors WITH
 * HOLD.  It must not decide how this transaction commits, which may have runs of other
 * jobs, nor leave settings to the next run.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/guc.h"

#include "run/commit.h"

/* The commit that is under way. */
static bool commits_async = false;
static int	guc_level = 0; /* nest level of the settings that users' code makes, or 0 */

/* Called when a transaction commits, after all code of users has run. */
static void
AtCommit(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT || guc_level == 0)
		return;
	AtEOXact_GUC(false, guc_level);
	guc_level = 0;
	if (commits_async)
		synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
}

/*
 * Commit.  With "async", do not wait for the disk, whatever synchronous_commit says.
 * The variable of that setting is changed directly, and only for the commit.  Setting
 * it by name would take more than a tenth of the time of a short run.
 */
void
RunCommit(bool async)
{
	static bool registered = false;
	int			configured = synchronous_commit;

	if (!registered)
		RegisterXactCallback(AtCommit, NULL);
	registered = true;
	commits_async = async;
	guc_level = NewGUCNestLevel();
	PG_TRY();
	{
		CommitTransactionCommand();
	}
	PG_FINALLY();
	{
		guc_level = 0;
		synchronous_commit = configured;
	}
	PG_END_TRY();
}
