/*
 * retention.c
 *	  Removing finished jobs and events when their retention is over.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/date.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "config/queue.h"
#include "config/route.h"
#include "job/events.h"
#include "job/history.h"
#include "job/retention.h"
#include "store/leaf.h"
#include "store/owner.h"
#include "store/store.h"

#define MAX_MOVE 500   /* rows per transaction */
#define MAX_FORGET 500 /* jobs per transaction */

/* How far the attempts and frames of a partition's jobs were removed. */
static struct
{
	char  leaf[NAMEDATALEN];
	int64 job_id;
	bool  all; /* all were removed; none was locked by another transaction */
} forgotten;

/* finished jobs ------------------------------------------------------------ */

/*
 * Move rows from the overflow partition to the partitions of their expiry days.
 * Returns true if there may be more.  The day is computed from the queue's
 * retention, as in HistoryInsert().
 *
 * If a partition is missing, this call only creates it, and a later call moves the
 * rows.  A query that was planned before the partition existed would miss a row
 * that moves at once.
 */
static bool
EmptyOverflow(void)
{
	static const char *const rows =
		"SELECT h.job_id, h.life, h.finished_at, h.state = 'c', r.queue_id"
		" FROM taskq.job_history_overflow h JOIN taskq.routes r USING (route_id)"
		" LIMIT $1 FOR UPDATE OF h SKIP LOCKED";
	Oid			   limit_type[] = { INT4OID };
	Datum		   limit[] = { Int32GetDatum(MAX_MOVE) };
	SPITupleTable *found;
	uint64		   n;
	bool		   made = false;
	int			   moved = 0;

	n = OwnerExecute(rows, 1, limit_type, limit, NULL);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		Oid				  types[] = { INT8OID, INT2OID, DATEOID };
		Datum			  values[3];
		bool			  isnull;
		TimestampTz		  finished_at = DatumGetTimestampTz(SPI_getbinval(found->vals[i], found->tupdesc, 3, &isnull));
		bool			  completed = DatumGetBool(SPI_getbinval(found->vals[i], found->tupdesc, 4, &isnull));
		const TaskqQueue *queue = QueueById(DatumGetInt32(SPI_getbinval(found->vals[i], found->tupdesc, 5, &isnull)));
		DateADT			  day = LeafDay(finished_at, completed ? queue->retain_completed : queue->retain_other);

		LeafMaking making = LeafMake(&history_table, day);

		if (making == LEAF_IS_MADE)
			made = true;
		if (made || making == LEAF_NAME_IS_TAKEN)
			continue;
		moved++;
		values[0] = SPI_getbinval(found->vals[i], found->tupdesc, 1, &isnull);
		values[1] = SPI_getbinval(found->vals[i], found->tupdesc, 2, &isnull);
		values[2] = DateADTGetDatum(day);
		OwnerExecute("UPDATE taskq.job_history SET expires_on = $3"
					 " WHERE expires_on = '-infinity' AND job_id = $1 AND life = $2",
					 3, types, values, NULL);
	}
	if (made)
		LeafWant();
	if (n > 0)
		forgotten.leaf[0] = '\0'; /* a row may have been moved into that partition */
	return n == MAX_MOVE && moved > 0 && !made;
}

/*
 * Delete the rows of these jobs in one table; returns false if another transaction
 * has locked some of them.
 */
static bool
ForgetIn(const char *table, Datum job_ids)
{
	Oid	  types[] = { INT8ARRAYOID };
	Datum values[] = { job_ids };

	OwnerExecute(psprintf("DELETE FROM taskq.%s WHERE ctid = ANY (ARRAY("
						  "SELECT ctid FROM taskq.%s WHERE job_id = ANY ($1) FOR UPDATE SKIP LOCKED))",
						  table, table),
				 1, types, values, NULL);
	return OwnerExecute(psprintf("SELECT FROM taskq.%s WHERE job_id = ANY ($1) LIMIT 1", table), 1, types, values, NULL) == 0;
}

/*
 * Remove the attempts and frames of some jobs of an expired partition, continuing
 * where the last call stopped.  Returns false if there are no more jobs.
 */
static bool
ForgetSome(const char *leaf)
{
	Oid	  types[] = { INT8OID, INT4OID };
	Datum values[2];
	Datum job_ids;
	int64 last;
	bool  isnull;
	bool  gone;

	if (strcmp(forgotten.leaf, leaf) != 0)
	{
		strlcpy(forgotten.leaf, leaf, sizeof(forgotten.leaf));
		forgotten.job_id = PG_INT64_MIN;
		forgotten.all = true;
	}
	values[0] = Int64GetDatum(forgotten.job_id);
	values[1] = Int32GetDatum(MAX_FORGET);
	OwnerExecute(psprintf("SELECT array_agg(job_id), max(job_id) FROM (SELECT job_id FROM taskq.%s"
						  " WHERE job_id > $1 AND NOT superseded ORDER BY job_id LIMIT $2) j",
						  leaf),
				 2, types, values, NULL);
	job_ids = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return false;
	last = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	gone = ForgetIn("attempt_failures", job_ids);
	forgotten.all = ForgetIn("frame_log", job_ids) && gone && forgotten.all;
	forgotten.job_id = last;
	return true;
}

/*
 * Do the short part of the housekeeping in the caller's transaction: create missing
 * partitions, and move some rows out of the overflow partition.  Returns true if
 * there is more work for HistoryMaintain().  *next is when to look again.
 */
bool
HistoryKeep(TimestampTz *next)
{
	OwnerScope scope;
	bool	   more;
	bool	   expired;

	*next = ClockNow() + USECS_PER_SEC;
	if (!LeafCare(false))
		return false;
	OwnerEnterSpi(&scope);
	more = EmptyOverflow();
	expired = LeafExpired(&history_table) != NULL;
	OwnerLeaveSpi(&scope);

	/* a partition that is being read is dropped later */
	*next = expired ? ClockNow() + USECS_PER_MINUTE : LeafNextDay();
	return more || expired;
}

/*
 * Do a part of the housekeeping of the history in the caller's transaction.  Create
 * missing partitions, remove the attempts and frames of an expired partition's
 * jobs, and finally drop that partition.  The drop is in a transaction without
 * other work, so that it holds its locks only for a moment.  Returns true if there
 * is more to do.  Without "wait", do nothing if another process does the same work.
 */
bool
HistoryMaintain(bool wait)
{
	OwnerScope scope;
	char	  *expired;
	bool	   more;

	if (!LeafCare(wait))
		return false;
	OwnerEnterSpi(&scope);
	more = EmptyOverflow();
	if (!more && (expired = LeafExpired(&history_table)) != NULL)
	{
		more = ForgetSome(expired);
		if (!more)
		{
			if (forgotten.all)
				LeafDrop(&history_table, expired);
			forgotten.leaf[0] = '\0';
		}
	}
	OwnerLeaveSpi(&scope);
	return more;
}

/* Do all of that in the caller's transaction. */
void
HistoryPrune(void)
{
	forgotten.leaf[0] = '\0'; /* the last transaction may have been rolled back */
	while (HistoryMaintain(true))
		CHECK_FOR_INTERRUPTS();
}

/* events ------------------------------------------------------------------- */

/*
 * Return the retention of each queue that records events, and the longest retention
 * of all queues.
 */
static int
Retentions(int64 **retentions, int64 *longest)
{
	int count = QueueCount(); /* read only once, because it may change */
	int n = 0;

	*retentions = palloc(sizeof(int64) * (count + 1));
	*longest = 0;
	for (int i = 0; i < count; i++)
	{
		const TaskqQueue *queue = QueueAt(i);

		*longest = Max(*longest, queue->retain_events);
		if (queue->events)
			(*retentions)[n++] = queue->retain_events;
	}
	return n;
}

/* Does the overflow partition have rows, but none that a queue still keeps? */
static bool
OverflowExpired(int64 longest)
{
	Snapshot snapshot = StoreSnapshot();
	Store	 leaf;
	bool	 expired;

	StoreOpenRel(&leaf, REL_EVENTS_OVERFLOW);
	expired = StoreFindLast(&leaf, RelationGetPrimaryKeyIndex_compat(leaf.rel), 0, NULL, snapshot) &&
			  EventTimeOfRow(leaf.found) < ClockNow() - longest;
	StoreClose(&leaf, false);
	UnregisterSnapshot(snapshot);
	return expired;
}

/*
 * Create the partitions of today and tomorrow for the queues that record events.
 * The caller is connected to SPI.
 */
static void
MakeLeaves(int64 *longest)
{
	int64 *retentions;
	int	   n = Retentions(&retentions, longest);

	for (int i = 0; i < n; i++)
	{
		(void) LeafMake(&events_table, LeafDay(ClockNow(), retentions[i]));
		(void) LeafMake(&events_table, LeafDay(ClockNow() + USECS_PER_DAY, retentions[i]));
	}
}

/*
 * Do the short part of the housekeeping in the caller's transaction: create
 * partitions.  Returns true if there is more work for EventMaintain().  *next is
 * when to look again.
 */
bool
EventKeep(TimestampTz *next)
{
	OwnerScope scope;
	int64	   longest;
	bool	   expired;

	*next = ClockNow() + USECS_PER_SEC;
	if (!LeafCare(false))
		return false;
	OwnerEnterSpi(&scope);
	MakeLeaves(&longest);
	expired = LeafExpired(&events_table) != NULL || OverflowExpired(longest);
	OwnerLeaveSpi(&scope);
	*next = expired ? ClockNow() + USECS_PER_MINUTE : LeafNextDay();
	return expired;
}

/*
 * Do the housekeeping of the log in the caller's transaction: create the partitions
 * of today and tomorrow, and drop an expired one.  Events are never moved, so rows
 * in the overflow partition stay there until it can be emptied as a whole.  Without
 * "wait", do nothing if another process does the same work.
 */
void
EventMaintain(bool wait)
{
	OwnerScope scope;
	int64	   longest;
	char	  *expired;

	if (!LeafCare(wait))
		return;
	OwnerEnterSpi(&scope);
	MakeLeaves(&longest);
	expired = LeafExpired(&events_table);
	if (expired != NULL)
		LeafDrop(&events_table, expired);
	if (OverflowExpired(longest) && LeafIsFree(&events_table, CatalogRel(REL_EVENTS_OVERFLOW)))
		OwnerExecute("TRUNCATE taskq.event_log_overflow", 0, NULL, NULL, NULL);
	OwnerLeaveSpi(&scope);
}
