/*
 * route_care.c
 *	  Removing routes that are not used any more.  Called by the scheduler.
 *
 * A job must never point to a route that does not exist.  But an enqueue does not
 * lock routes.  It takes the route's ID from what its process has read of the
 * table, and its job may become visible an hour later.  So a route is removed in
 * steps, and each step is committed before the next one begins:
 *
 * 1. If the route had no live job for taskq.route_idle, it is marked (retired_at).
 * From then on, an enqueue that needs such a route creates another row with the
 * same key, which is allowed anyway.  Workers still use the marked route.
 *
 * 2. Wait until all transactions have ended that may have read the route without
 * the mark.  These are the transactions that had an ID or a snapshot at that time.
 *
 * 3. If a job points to the route now, the mark is removed.  Otherwise the route is
 * retired: workers do not use it any more.  Finished jobs may still point to it, so
 * the row stays until the last leaf of the history that exists now has been dropped
 * (removable_on).  A finished job that is put back in the meantime is given another
 * route.
 *
 * 4. Then the row is deleted.
 *
 * A mark that no scheduler remembers, because the scheduler has ended or the
 * database was restored, is removed.
 */
#include "taskq.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/guc.h"
#include "config/changes.h"
#include "config/route.h"
#include "config/route_care.h"
#include "store/catalog.h"
#include "store/owner.h"
#include "store/store.h"

#define CARE_EVERY USECS_PER_MINUTE
#define MAX_RETIRING 1000 /* routes that are retired at the same time */
#define MAX_CHANGED 1000  /* other routes that a transaction changes */

/* A route without a live job, and since when it has had none. */
typedef struct Idle
{
	int32		route_id; /* hash key */
	TimestampTz since;
	uint32		look; /* number of the last look that found it idle */
} Idle;

typedef enum Stage
{
	STAGE_NONE,
	STAGE_MARKED, /* the marks are committed when the next step begins */
	STAGE_WAITING /* waiting for older transactions */
} Stage;

static Stage		 stage = STAGE_NONE;
static int32		 retiring[MAX_RETIRING];
static int			 n_retiring = 0;
static TransactionId begun_before; /* transactions that may have read the routes without the mark */
static HTAB			*idle = NULL;
static uint32		 looks = 0;
static bool			 old_marks_are_gone = false;
static TimestampTz	 next_care = 0; /* no care before this time, unless a step is in progress */
static TimestampTz	 next_idle = 0; /* when the next route will have been idle for long enough, if none is used */

/*
 * Run a statement that changes routes: those in the array $1, or at most $3 routes.
 * $2 is the current time.
 */
static int
ChangeRoutes(const char *sql, const int32 *ids, int n)
{
	Datum *elements = palloc(sizeof(Datum) * (n + 1));
	Oid	   types[] = { INT4ARRAYOID, TIMESTAMPTZOID, INT4OID };
	Datum  values[3];
	int	   changed;

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(ids[i]);
	values[0] = PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[1] = TimestampTzGetDatum(ClockNow());
	values[2] = Int32GetDatum(MAX_CHANGED);
	changed = (int) OwnerRun(sql, lengthof(types), types, values, NULL);
	if (changed > 0)
		ConfigRowsChanged(REL_ROUTES);
	return changed;
}

/*
 * True if a route has a live job.  There is an index for each gate that a live job
 * may have.
 */
#define HAS_JOB                                                                            \
	"(EXISTS (SELECT FROM taskq.jobs j WHERE j.route_id = r.route_id AND j.gate = 'o')"    \
	" OR EXISTS (SELECT FROM taskq.jobs j WHERE j.route_id = r.route_id AND j.gate = 'l')" \
	" OR r.route_id IN (SELECT j.route_id FROM taskq.jobs j WHERE j.gate = 'r'))"

/*
 * Remove some marks of an earlier scheduler, and some marks of retired routes for
 * which a restore has brought live jobs.  Returns true if there may be more.
 */
static bool
TakeBackOldMarks(void)
{
	int taken_back = ChangeRoutes("UPDATE taskq.routes SET retired_at = NULL, removable_on = NULL WHERE route_id = ANY (ARRAY("
								  " SELECT route_id FROM taskq.routes r"
								  " WHERE retired_at IS NOT NULL AND (removable_on IS NULL OR " HAS_JOB ") LIMIT $3))",
								  NULL, 0);

	return taken_back == MAX_CHANGED;
}

/*
 * Delete some rows to which no finished job can point any more.  Returns true if
 * there may be more.
 */
static bool
DeleteRemovable(void)
{
	int deleted = ChangeRoutes("DELETE FROM taskq.routes WHERE route_id = ANY (ARRAY("
							   " SELECT route_id FROM taskq.routes WHERE removable_on < COALESCE("
							   "  (SELECT min(pg_catalog.to_date(pg_catalog.right(c.relname, 8), 'YYYYMMDD'))"
							   "   FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid"
							   "   WHERE i.inhparent = 'taskq.job_history'::pg_catalog.regclass AND c.relname ~ '_[0-9]{8}$'), 'infinity')"
							   " LIMIT $3 FOR UPDATE SKIP LOCKED))",
							   NULL, 0);

	return deleted == MAX_CHANGED;
}

/* Does the route have a job that waits, or that runs in a background worker? */
static bool
HasWaiting(Store *jobs, int32 route_id, Snapshot snapshot)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(route_id));
	return StoreFind(jobs, CatalogRel(REL_JOBS_OPEN), 1, &key, snapshot) ||
		   StoreFind(jobs, CatalogRel(REL_JOBS_LANES), 1, &key, snapshot);
}

/*
 * Record that a route has no waiting job.  Returns whether it has had none for long
 * enough.
 */
static bool
IsIdle(int32 route_id)
{
	bool  found;
	Idle *entry = hash_search(idle, &route_id, HASH_ENTER, &found);

	if (!found || entry->look != looks - 1)
		entry->since = ClockNow();
	entry->look = looks;
	if (ClockHasPassed(entry->since, (int64) taskq_route_idle * 1000))
		return true;
	next_idle = Min(next_idle, entry->since + (int64) taskq_route_idle * 1000);
	return false;
}

/* Forget routes that were used or do not exist any more. */
static void
ForgetUsed(void)
{
	HASH_SEQ_STATUS status;
	Idle		   *entry;

	hash_seq_init(&status, idle);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->look != looks)
			(void) hash_search(idle, &entry->route_id, HASH_REMOVE, NULL);
}

/* Find routes that have been idle for long enough. */
static void
FindIdle(void)
{
	HASHCTL			   ctl = { .keysize = sizeof(int32), .entrysize = sizeof(Idle), .hcxt = TopMemoryContext };
	OwnerScope		   scope;
	Store			   jobs;
	Snapshot		   snapshot;
	int				   n;
	const TaskqRoute **routes = RoutesAll(&n);

	if (idle == NULL)
		idle = hash_create("taskq idle routes", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	looks++;
	n_retiring = 0;
	next_idle = DT_NOEND;
	OwnerEnter(&scope);
	snapshot = StoreSnapshot();
	StoreOpenRel(&jobs, REL_JOBS);
	for (int i = 0; i < n; i++)
		if (!HasWaiting(&jobs, routes[i]->route_id, snapshot) && IsIdle(routes[i]->route_id) && n_retiring < MAX_RETIRING)
			retiring[n_retiring++] = routes[i]->route_id;
	StoreClose(&jobs, false);
	UnregisterSnapshot(snapshot);
	OwnerLeave(&scope);
	ForgetUsed();
}

/*
 * Return a transaction ID that comes after those of all transactions which may not know what
 * is committed and announced now.  The commit of a change is seen before its news is sent, so
 * a transaction that has begun in between may lack the news.  With an ID of our own, which
 * comes after the news, it is told from those that begin later.
 */
TransactionId
RoutesKnownFrom(void)
{
	TransactionId xid = GetCurrentTransactionId();

	TransactionIdAdvance(xid);
	return xid;
}

/* Have all transactions ended that come before this one? */
bool
RoutesKnownToAll(TransactionId from)
{
	Relation	  jobs = CatalogOpen(REL_JOBS, AccessShareLock);
	TransactionId oldest = GetOldestNonRemovableTransactionId(jobs);

	table_close(jobs, AccessShareLock);
	return TransactionIdFollowsOrEquals(oldest, from);
}

/* Remove the marks of routes to which a job points now, and retire the others. */
static void
Retire(void)
{
	(void) ChangeRoutes("UPDATE taskq.routes r SET retired_at = NULL WHERE route_id = ANY ($1) AND (" HAS_JOB
						" OR EXISTS (SELECT FROM taskq.job_history_overflow h WHERE h.route_id = r.route_id))",
						retiring, n_retiring);
	(void) ChangeRoutes("UPDATE taskq.routes SET removable_on = COALESCE("
						" (SELECT max(pg_catalog.to_date(pg_catalog.right(c.relname, 8), 'YYYYMMDD'))"
						"  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid"
						"  WHERE i.inhparent = 'taskq.job_history'::pg_catalog.regclass AND c.relname ~ '_[0-9]{8}$'), $2::date)"
						" WHERE route_id = ANY ($1) AND retired_at IS NOT NULL",
						retiring, n_retiring);
}

/*
 * Return when the next step is due.  "used" says whether routes may have been
 * created or jobs of them may have ended.
 */
TimestampTz
RouteCareDue(bool used)
{
	if (!ClockIsAhead(next_care, CARE_EVERY))
		next_care = 0;
	return used ? next_care : Max(next_care, next_idle);
}

/* Lock the routes unless a transaction that drops a queue has locked them. */
static bool
LockRoutes(void)
{
	return ConditionalLockRelationOid(CatalogRel(REL_ROUTES), RowExclusiveLock);
}

/*
 * Delete some rows to which no finished job can point any more.  Returns true if
 * there may be more.
 */
bool
RouteDeleteSome(void)
{
	return LockRoutes() && DeleteRemovable();
}

/* Take the next step.  Returns true if there is more work for RouteDeleteSome(). */
bool
RouteCare(void)
{
	int	 marked = 0;
	bool more = false;

	next_care = next_idle = ClockNow() + USECS_PER_SEC;
	if (!LockRoutes())
		return false;
	switch (stage)
	{
		case STAGE_NONE:
			/* before new marks are set, which would be taken back, too */
			if (!old_marks_are_gone && TakeBackOldMarks())
				break;
			old_marks_are_gone = true;
			more = DeleteRemovable();
			FindIdle();
			if (n_retiring > 0)
				marked = ChangeRoutes("UPDATE taskq.routes r SET retired_at = $2 WHERE route_id = ANY ($1) AND retired_at IS NULL AND NOT " HAS_JOB,
									  retiring, n_retiring);
			if (marked > 0)
			{
				stage = STAGE_MARKED;
				next_idle = next_care;
			}
			else
				next_care = ClockNow() + Min(CARE_EVERY, Max((int64) taskq_route_idle * 1000, USECS_PER_SEC));
			break;
		case STAGE_MARKED:
			begun_before = RoutesKnownFrom();
			stage = STAGE_WAITING;
			break;
		case STAGE_WAITING:
			if (!RoutesKnownToAll(begun_before))
				break;
			Retire();
			stage = STAGE_NONE;
			break;
	}
	return more;
}
