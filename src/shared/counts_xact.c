/*
 * counts_xact.c
 *	  What a transaction changes in the number of jobs of each route.
 *
 * The changes are kept until the transaction ends, ordered by the nesting level of
 * their subtransaction.  A route may have several changes on one level.  The
 * callbacks allocate no memory and cannot fail.
 */
#include "taskq.h"

#include "access/xact.h"
#include "replication/logicalworker.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/grow.h"
#include "base/guc.h"
#include "shared/counts.h"
#include "shared/prepared.h"

#define SEARCHED 64		   /* so many changes are searched for one of the same route */
#define MAX_CHANGES 100000 /* with more than this, the rows are counted anew */
#define KEPT_SIZE 4096	   /* a larger array is freed at the end of a transaction */

static CountChange *changes = NULL;
static int			n_changes = 0;
static int			max_changes = 0;
static Oid			relid = InvalidOid; /* of taskq.jobs, when the first change was made */
static bool			doubt = false;		/* there are changes that are not known */
static Oid (*jobs_table)(bool must_be_there) = NULL;

/* collecting ----------------------------------------------------------------- */

/* Find the change of a route among the last ones before "end" on this level. */
static CountChange *
FindChange(int32 route_id, int level, int end)
{
	for (int i = end - 1; i >= 0 && i >= end - SEARCHED && changes[i].level == level; i--)
		if (changes[i].route.route_id == route_id)
			return &changes[i];
	return NULL;
}

static CountChange *
FindOrMakeChange(int32 route_id)
{
	int			 level = GetCurrentTransactionNestLevel();
	CountChange *change = FindChange(route_id, level, n_changes);

	if (change != NULL)
		return change;
	if (n_changes == MAX_CHANGES)
	{
		doubt = true;
		return NULL;
	}
	Assert(n_changes == 0 || changes[n_changes - 1].level <= level);
	if (n_changes == 0)
		relid = jobs_table(true);
	changes = GrowArray(changes, sizeof(CountChange), &max_changes, n_changes + 1);
	change = &changes[n_changes++];
	change->level = level;
	change->route.route_id = route_id;
	CountsClear(&change->route.counts);
	return change;
}

/* Note that a job goes from one class to another if this transaction commits. */
void
CountsChange(int32 route_id, CountClass from, CountClass to, const JobAge *age)
{
	CountChange *change;
	JobCounts	*counts;

	if (!CountsPresent() || doubt || from == to)
		return;
	change = FindOrMakeChange(route_id);
	if (change == NULL)
		return;
	counts = &change->route.counts;
	if (from != COUNT_NOT)
		counts->n[from]--;
	if (to == COUNT_NOT)
		return;
	counts->n[to]++;
	if (to == COUNT_AT_ONCE)
		counts->newest = Max(counts->newest, age->created_at);
	if (to != COUNT_RUNNING)
		counts->oldest = CountsOlder(counts->oldest, *age);
}

/* Note that this transaction may change rows of the table in any way. */
void
CountsDoubt(void)
{
	if (CountsPresent())
		doubt = true;
}

/* Has this transaction changed any counts? */
bool
CountsChangedHere(void)
{
	return doubt || n_changes > 0;
}

/* the end ------------------------------------------------------------------ */

/*
 * A process of logical replication writes rows without telling anybody.  Has this
 * one locked the table to write to it?
 */
static bool
HasReplicated(void)
{
	Oid table;

	if (!CountsPresent() || !IsLogicalWorker() || !TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	table = jobs_table(false);
	return OidIsValid(table) && HoldsRelationLock_compat(table, RowExclusiveLock);
}

static void
Forget(void)
{
	n_changes = 0;
	doubt = false;
	if (max_changes > KEPT_SIZE)
	{
		pfree(changes);
		changes = NULL;
		max_changes = 0;
	}
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) && HasReplicated())
		doubt = true;
	if (!CountsChangedHere())
		return;
	if (event == XACT_EVENT_COMMIT)
		CountsApply(relid, changes, n_changes, doubt);
	if (event == XACT_EVENT_PREPARE)
		PreparedNote();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		Forget();
}

/*
 * Give the changes of a subtransaction to its parent, and add them to those of the
 * parent where that is possible.
 */
static void
AtSubCommit(int level)
{
	int first = n_changes;
	int kept;

	while (first > 0 && changes[first - 1].level >= level)
		first--;
	kept = first;
	for (int i = first; i < n_changes; i++)
	{
		CountChange *parent = FindChange(changes[i].route.route_id, level - 1, kept);

		if (parent != NULL)
			CountsAdd(&parent->route.counts, &changes[i].route.counts);
		else
		{
			if (kept != i)
				changes[kept] = changes[i];
			changes[kept++].level = level - 1;
		}
	}
	n_changes = kept;
}

static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_COMMIT_SUB)
		AtSubCommit(level);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		while (n_changes > 0 && changes[n_changes - 1].level >= level)
			n_changes--;
}

/*
 * Called once in a process, as callbacks stay registered.  The function returns the OID of
 * taskq.jobs; if the table need not be there, it may return InvalidOid.
 */
void
CountsInit(Oid (*find_jobs_table)(bool must_be_there))
{
	jobs_table = find_jobs_table;
	CountsTableInit();
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
}

/* reading ------------------------------------------------------------------ */

/* Make a table of RouteCounts. */
HTAB *
CountsMakeTable(void)
{
	HASHCTL ctl = { .keysize = sizeof(int32), .entrysize = sizeof(RouteCounts), .hcxt = CurrentMemoryContext };

	return hash_create("taskq counts of routes", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Add to the counts of a route in such a table. */
void
CountsAddTo(HTAB *routes, int32 route_id, const JobCounts *more)
{
	bool		 found;
	RouteCounts *route = hash_search(routes, &route_id, HASH_ENTER, &found);

	if (!found)
		CountsClear(&route->counts);
	CountsAdd(&route->counts, more);
}

/* Are the changes of this transaction known, and all of them of this table? */
static bool
OwnAreKnown(Oid table)
{
	return !doubt && (n_changes == 0 || relid == table);
}

/*
 * Return a table of RouteCounts of this database, with the changes of this transaction, or
 * NULL if there are no counts.
 */
HTAB *
CountsRead(Oid table, TimestampTz *counted_at)
{
	HTAB		*routes;
	RouteCounts *copies;
	int			 n;

	if (!CountsPresent() || !OwnAreKnown(table))
		return NULL;
	copies = palloc_extended(sizeof(RouteCounts) * taskq_max_route_counts, MCXT_ALLOC_HUGE);
	if (!CountsCopy(table, copies, &n, counted_at))
	{
		pfree(copies);
		return NULL;
	}
	routes = CountsMakeTable();
	for (int i = 0; i < n; i++)
		CountsAddTo(routes, copies[i].route_id, &copies[i].counts);
	for (int i = 0; i < n_changes; i++)
		CountsAddTo(routes, changes[i].route.route_id, &changes[i].route.counts);
	pfree(copies);
	return routes;
}

/* Read the counts of one route. */
bool
CountsReadRoute(Oid table, int32 route_id, JobCounts *counts, TimestampTz *counted_at)
{
	if (!OwnAreKnown(table) || !CountsCopyRoute(table, route_id, counts, counted_at))
		return false;
	for (int i = 0; i < n_changes; i++)
		if (changes[i].route.route_id == route_id)
			CountsAdd(counts, &changes[i].route.counts);
	return true;
}
