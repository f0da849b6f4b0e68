/*
 * kept.c
 *	  Relations on which this transaction keeps a lock until it ends.
 *
 * A worker with a shared commit opens the same table and the same leaf for each job.
 * Each time, the server looks for the lock in its table of locks, and then in the system
 * cache, to see whether the relation still exists.  If we know that the transaction has the
 * lock, it is enough to take the relation from the relcache.
 *
 * All these locks are RowExclusiveLock.  A lock that was taken in a subtransaction is
 * given to its parent, or released if the subtransaction is rolled back.  We do not note
 * where it was taken, and forget all after each such rollback.
 */
#include "taskq.h"

#include "access/relation.h"
#include "access/xact.h"
#include "pgstat.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "store/kept.h"

#define MAX_KEPT 8 /* a shared commit uses the table of jobs, a leaf and its index */

static Oid kept[MAX_KEPT];
static int n_kept = 0;

static bool
IsKept(Oid relid)
{
	for (int i = 0; i < n_kept; i++)
		if (kept[i] == relid)
			return true;
	return false;
}

/*
 * Open a relation to write to it.  It is locked unless this transaction keeps the lock
 * anyway; then "is_kept" is set, and the caller must not release the lock.  Returns NULL if
 * the relation does not exist.
 */
Relation
KeptOpen(Oid relid, bool *is_kept)
{
	Relation rel;

	*is_kept = IsKept(relid);
	if (!*is_kept)
		return try_relation_open(relid, RowExclusiveLock);
	Assert(HoldsRelationLock_compat(relid, RowExclusiveLock));
	rel = RelationIdGetRelation(relid);
	if (rel != NULL)
		pgstat_init_relation(rel);
	return rel;
}

/* Note that a lock is kept.  The caller has it, and does not release it. */
void
KeptNote(Oid relid)
{
	if (n_kept < MAX_KEPT && !IsKept(relid))
		kept[n_kept++] = relid;
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		n_kept = 0;
}

static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		n_kept = 0;
}

/* Called once in a process, as callbacks stay registered. */
void
KeptInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
}
