/*
 * retention.c
 *	  Removing finished jobs and events when their time is over.
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

#define MAX_MOVE 500   /* rows in one transaction */
#define MAX_FORGET 500 /* jobs in one transaction */

/* How far attempts and frames of a leaf's jobs were forgotten. */
static struct
{
	char  leaf[NAMEDATALEN];
	int64 job_id;
	bool  all; /* but for rows that somebody had locked */
} forgotten;

/* finished jobs ------------------------------------------------------------ */

/*
 * Give rows of the overflow leaf their expiry day, make the leaves of those
 * days and move the rows there; true: there may be more.  The day is computed here
 * as HistoryInsert() computes it, queue by queue.  Leaves that are missing are made
 * first, and the rows moved by another call: a query that was planned before the
 * leaf was there would find a row that moves at once in neither place.
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
		forgotten.leaf[0] = '\0'; /* one of them may have gone into that */
	return n == MAX_MOVE && moved > 0 && !made;
}

/* Delete a table's rows of these jobs; false: somebody has locked some of them. */
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
 * Forget the attempts and frames of some jobs of a leaf whose day is over, from
 * where the last call has stopped; false: that was all.
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
 * The small part of the housekeeping, in the caller's transaction: make leaves that are
 * missing, and move some of the rows that have found none.  True: there is more, for
 * HistoryMaintain().  "Next" is when to look again.
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

	/* a leaf that somebody is reading is dropped later */
	*next = expired ? ClockNow() + USECS_PER_MINUTE : LeafNextDay();
	return more || expired;
}

/*
 * Housekeeping of the history, a piece of it, in the caller's transaction: make
 * leaves that are missing, forget what belongs to the jobs of one that has
 * expired, and drop it at last, so that the locks on the history are held for a
 * moment only.  True: there is more to do.  Without "wait" it is left to whoever
 * does just that.
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

/* All of that at once, in the caller's transaction. */
void
HistoryPrune(void)
{
	forgotten.leaf[0] = '\0'; /* the last transaction may have been rolled back */
	while (HistoryMaintain(true))
		CHECK_FOR_INTERRUPTS();
}

/* events ------------------------------------------------------------------- */

/* How long the queues keep their events; how many record any. */
static int
Retentions(int64 **retentions, int64 *longest)
{
	int				   count;
	const TaskqQueue **queues = QueuesAll(&count);
	int				   n = 0;

	*retentions = palloc(sizeof(int64) * (count + 1));
	*longest = 0;
	for (int i = 0; i < count; i++)
	{
		const TaskqQueue *queue = queues[i];

		*longest = Max(*longest, queue->retain_events);
		if (queue->events)
			(*retentions)[n++] = queue->retain_events;
	}
	return n;
}

/* Is there a row in the overflow leaf, and none that a queue still keeps? */
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

/* Make the leaves of today and tomorrow for the queues that record events; in SPI. */
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
 * The small part of the housekeeping, in the caller's transaction: make leaves.  True:
 * there is more, for EventMaintain().  "Next" is when to look again.
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
 * Housekeeping of the log, in the caller's transaction: make the leaves of today
 * and tomorrow, drop one that has expired.  Rows in the overflow leaf stay there,
 * and it is emptied as a whole: events are never moved.  Without "wait" it is left
 * to whoever does just that.
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
