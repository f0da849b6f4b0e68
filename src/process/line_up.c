/*
 * line_up.c
 *	  Putting the waiting jobs of a queue in order that has become ordered.
 *
 * The jobs that wait in the queue are moved to their lanes in the order of their ids, in
 * batches.  Each batch writes into the row of the queue up to which id it has come, and claims
 * start only jobs before that.  So no job starts while one with a lower id is to be moved.
 * When all jobs are moved, there is no bound any more.  A job that was added by a transaction
 * which did not know yet that the queue is ordered may be committed later; it comes late, and
 * keep_lanes.c moves it.
 *
 * The walk begins when the limit of the order is armed.  Before that, transactions may have
 * jobs locked that they have claimed without knowing of the order, and not one could
 * start anyway.  If a job is locked nevertheless, the walk goes on there later.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "config/changes.h"
#include "config/queue.h"
#include "config/route.h"
#include "job/lane.h"
#include "process/line_up.h"
#include "shared/holders.h"
#include "store/catalog.h"
#include "store/owner.h"

#define MAX_MOVED 500  /* in one transaction */
#define MAX_READ 10000 /* jobs of any queue, in one transaction */

/* Return a queue with jobs to put in order, or NULL. */
static const TaskqQueue *
NextQueue(void)
{
	int				   n;
	const TaskqQueue **all = QueuesAll(&n);
	const TaskqQueue  *found = NULL;

	for (int i = 0; i < n && found == NULL; i++)
		if (all[i]->ordered && all[i]->lined_up_to < PG_INT64_MAX)
			found = all[i];
	pfree(all);
	return found;
}

/* Have jobs to be put in order, now or when the limit is armed? */
bool
LineUpPending(void)
{
	return HoldersPresent() && NextQueue() != NULL;
}

static bool
IsArmed(const TaskqQueue *queue)
{
	return HoldersPresent() && HoldersStateOf(CatalogRel(REL_LIMITS), -queue->order_id).answer == HOLDERS_ROOM;
}

/* Lock the row of a queue, if it is as we know it, and nobody is changing it. */
static bool
LockQueue(const TaskqQueue *queue)
{
	Oid	  types[] = { INT4OID, INT8OID };
	Datum values[] = { Int32GetDatum(queue->queue_id), Int64GetDatum(queue->lined_up_to) };

	return OwnerExecute("SELECT FROM taskq.queue_defs WHERE queue_id = $1 AND ordered AND lined_up_to = $2"
						" FOR UPDATE SKIP LOCKED",
						2, types, values, NULL) > 0;
}

/* Move a job to its lane.  Returns false if another transaction has locked it. */
static bool
MoveJob(int64 job_id, int *moved)
{
	Store			jobs;
	TaskqJob		job;
	StoreLockResult locked = JobOpenAndLockWaiting(&jobs, job_id, &job);

	if (locked == STORE_LOCKED && JobIsOpen(jobs.found) && job.lane != JobLane(&job))
	{
		JobMoveToLane(&jobs, &job);
		(*moved)++;
	}
	StoreClose(&jobs, true);
	return locked != STORE_BUSY;
}

/*
 * Move the jobs of the queue from this id on.  Returns the id up to which all of them are
 * moved.
 */
static int64
MoveFrom(int32 queue_id, int64 from)
{
	Oid			   types[] = { INT8OID, INT4OID, INT4OID };
	Datum		   values[] = { Int64GetDatum(from), Int32GetDatum(queue_id), Int32GetDatum(MAX_READ) };
	SPITupleTable *found;
	int64		   job_id = from;
	int			   moved = 0;
	uint64		   n;

	n = OwnerExecute("SELECT job_id, gate IN ('o', 'l') AND EXISTS (SELECT FROM taskq.routes r"
					 " WHERE r.route_id = j.route_id AND r.queue_id = $2)"
					 " FROM taskq.jobs j WHERE job_id >= $1 ORDER BY job_id LIMIT $3",
					 3, types, values, NULL);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		job_id = DatumGetInt64(SPI_getbinval(found->vals[i], found->tupdesc, 1, &isnull));
		if (!DatumGetBool(SPI_getbinval(found->vals[i], found->tupdesc, 2, &isnull)))
			continue;
		if (moved == MAX_MOVED || !MoveJob(job_id, &moved))
			return job_id;
	}
	return n < MAX_READ ? PG_INT64_MAX : job_id + 1;
}

/* Move a batch of jobs.  Returns true if there may be more that can be moved. */
bool
LineUp(void)
{
	const TaskqQueue *queue = NextQueue();
	Oid				  types[] = { INT4OID, INT8OID };
	Datum			  values[2];
	int32			  queue_id;
	int64			  from;
	int64			  up_to;
	OwnerScope		  scope;

	if (queue == NULL || !IsArmed(queue))
		return false;
	queue_id = queue->queue_id;
	up_to = from = queue->lined_up_to;
	OwnerEnterSpi(&scope);
	if (LockQueue(queue))
	{
		up_to = MoveFrom(queue_id, from);
		values[0] = Int32GetDatum(queue_id);
		values[1] = Int64GetDatum(up_to);
		if (up_to > from)
			(void) OwnerExecute("UPDATE taskq.queue_defs SET lined_up_to = $2 WHERE queue_id = $1", 2, types, values, NULL);
	}
	OwnerLeaveSpi(&scope);
	if (up_to > from)
		ConfigNumberChanged(REL_QUEUES, queue_id);
	return up_to > from;
}
