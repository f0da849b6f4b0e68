/*
 * counter.c
 *	  Numbers that are never given out twice: job ids, epochs and event positions.
 *
 * Each counter has a sequence.  Drawing every number from the sequence would make all
 * sessions wait for the same page, and write WAL for each 32 numbers.  So a counter
 * is in shared memory, and the sequence only holds its ceiling: all numbers up to the
 * ceiling belong to the counter.  The ceiling is raised by some thousands at a time,
 * and is on disk before the first of the new numbers is given out.  So no number is
 * given out again after a crash or a restart; those that were left are lost.
 *
 * The counter belongs to one sequence.  If the extension was dropped and created
 * again, also in a transaction that is rolled back later, the counter starts anew
 * from the sequence that is valid now.  Whoever draws has one of the extension's
 * tables open, so two extensions never draw at the same time.
 *
 * Without preload, or without an entry for the database, each number is drawn from
 * the sequence.
 */
#include "taskq.h"

#include "access/relation.h"
#include "fmgr.h"
#include "port/atomics.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#include "shared/locks.h"
#include "shared/shmem.h"
#include "store/counter.h"
#include "store/owner.h"
#include "store/store.h"

/* Numbers by which a ceiling is raised.  So many are lost at a restart. */
#define BLOCK 4096

/* The last number that a counter may give out, which is the maximum of its sequence. */
static const int64 last_numbers[] = {
	[COUNTER_JOB_ID] = TASKQ_ID_MASK,
	[COUNTER_EPOCH] = TASKQ_ID_MASK,
	[COUNTER_EVENT] = PG_INT64_MAX,
};

static const TaskqRel sequences[] = {
	[COUNTER_JOB_ID] = REL_JOB_ID_SEQ,
	[COUNTER_EPOCH] = REL_EPOCH_SEQ,
	[COUNTER_EVENT] = REL_EVENT_ID_SEQ,
};

static TaskqCounter *
MyCounter(CounterKind kind)
{
	TaskqDatabase *db = ShmemMyDatabase();

	return db == NULL ? NULL : &db->counters[kind];
}

/*
 * Take the next numbers, at most "n".  Returns how many: fewer if the ceiling is near,
 * and none if they are beyond it, or if the counter is of another sequence.
 */
static int
Take(TaskqCounter *counter, Oid sequence, int64 *numbers, int n)
{
	uint64 next;
	uint64 ceiling;
	int	   taken;

	if (pg_atomic_read_u32(&counter->sequence) != sequence)
		return 0;
	pg_read_barrier();
	next = pg_atomic_read_u64(&counter->next);
	do
	{
		/* a ceiling that was read before "next" changed is not used, as the exchange fails */
		ceiling = pg_atomic_read_u64(&counter->ceiling);
		if (next > ceiling)
			return 0;
		taken = Min((uint64) n, ceiling - next + 1);
	} while (!pg_atomic_compare_exchange_u64(&counter->next, &next, next + taken));
	for (int i = 0; i < taken; i++)
		numbers[i] = next + i;
	return taken;
}

/*
 * Give the counter the numbers from "first" to "ceiling".  With "skips", those that it
 * has left before these are not given out any more.
 */
static void
Publish(TaskqCounter *counter, Oid sequence, uint64 first, uint64 ceiling, bool skips)
{
	if (pg_atomic_read_u32(&counter->sequence) != sequence ||
		pg_atomic_read_u64(&counter->ceiling) + 1 != first || skips)
	{
		/* other numbers than those that follow: nobody may take any meanwhile */
		pg_atomic_write_u64(&counter->ceiling, 0);
		pg_write_barrier();
		pg_atomic_write_u64(&counter->next, first);
		pg_write_barrier();
	}
	pg_atomic_write_u64(&counter->ceiling, ceiling);
	pg_write_barrier();
	pg_atomic_write_u32(&counter->sequence, sequence);
}

/* Lock the counter against others that read or change its sequence. */
static Relation
Lock(CounterKind kind)
{
	Relation rel = CatalogOpen(sequences[kind], RowExclusiveLock);

	(void) LockKey(LOCK_COUNTER, kind, true, true);
	return rel;
}

static void
Unlock(CounterKind kind, Relation rel)
{
	UnlockKey(LOCK_COUNTER, kind, true);
	relation_close(rel, RowExclusiveLock);
}

/*
 * Give the counter new numbers if it has none, or none beyond "least".  They are
 * beyond the present value of the sequence.
 */
static void
Refill(CounterKind kind, TaskqCounter *counter, int64 least)
{
	Relation   rel = Lock(kind);
	Oid		   sequence = RelationGetRelid(rel);
	int64	   last = Max(StoreLastId(sequences[kind]), least);
	bool	   is_ours = pg_atomic_read_u32(&counter->sequence) == sequence;
	uint64	   next = is_ours ? pg_atomic_read_u64(&counter->next) : 0;
	uint64	   ceiling = is_ours ? pg_atomic_read_u64(&counter->ceiling) : 0;
	OwnerScope scope;

	/* another session may have done it, while this one waited for the lock */
	if (!is_ours || next > ceiling || next <= least)
	{
		last = Max(last, (int64) ceiling);
		if (last >= last_numbers[kind])
			ereport(ERROR,
					(errcode(ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED),
					 errmsg("sequence %s.%s has no more numbers", TASKQ_SCHEMA, RelationGetRelationName(rel)),
					 errdetail("Its last number is " INT64_FORMAT ".", last_numbers[kind]),
					 errhint("If somebody has set it by mistake, set it back and restart the server.")));
		if (!is_ours || last > ceiling)
			Publish(counter, sequence, last + 1, last, true); /* CounterLast() must not see a ceiling without its counter */
		OwnerEnter(&scope);
		StoreSetId(sequences[kind], last + Min(BLOCK, last_numbers[kind] - last));
		OwnerLeave(&scope);
		Publish(counter, sequence, last + 1, StoreLastId(sequences[kind]), next <= least);
	}
	Unlock(kind, rel);
}

/* Draw a number from the sequence itself. */
static int64
DrawFromSequence(CounterKind kind)
{
	Relation rel;
	int64	 next;

	if (!ShmemPresent())
		next = StoreNextId(sequences[kind]);
	else
	{
		rel = Lock(kind);
		next = StoreNextId(sequences[kind]);
		Unlock(kind, rel);
	}

	/* an epoch may be used before its transaction ends */
	if (kind == COUNTER_EPOCH)
		(void) StoreLastId(sequences[kind]);
	return next;
}

/* Draw the next numbers, in ascending order.  The caller has one of the extension's tables open. */
void
CounterDraw(CounterKind kind, int64 *numbers, int n)
{
	int drawn = 0;

	while (drawn < n)
	{
		TaskqCounter *counter = MyCounter(kind);
		int			  taken;

		if (counter == NULL)
		{
			numbers[drawn++] = DrawFromSequence(kind);
			continue;
		}
		taken = Take(counter, CatalogRel(sequences[kind]), numbers + drawn, n - drawn);

		/* the entry may have been freed and given to another database meanwhile */
		if (taken > 0 && counter == MyCounter(kind))
			drawn += taken;
		else
			Refill(kind, counter, 0);
	}
}

/* Draw the next number. */
int64
CounterNext(CounterKind kind)
{
	int64 number;

	CounterDraw(kind, &number, 1);
	return number;
}

/*
 * Return the last number that was given out, or a later one that never will be.
 * None of the numbers up to that is given out later, not even after a crash.
 */
int64
CounterLast(CounterKind kind)
{
	TaskqCounter *counter = MyCounter(kind);
	Oid			  sequence = CatalogRel(sequences[kind]);
	bool		  is_ours = counter != NULL && pg_atomic_read_u32(&counter->sequence) == sequence;
	int64		  last = is_ours ? 0 : StoreLastId(sequences[kind]);

	/* a counter that began meanwhile has raised the sequence after it began */
	if (!is_ours && counter != NULL)
		is_ours = pg_atomic_read_u32(&counter->sequence) == sequence;
	pg_read_barrier();
	return is_ours ? (int64) pg_atomic_read_u64(&counter->next) - 1 : last;
}

/* Give out no numbers up to this one any more. */
void
CounterPass(CounterKind kind, int64 value)
{
	TaskqCounter *counter = MyCounter(kind);
	Relation	  rel;

	if (counter != NULL)
	{
		Refill(kind, counter, value);
		return;
	}
	rel = Lock(kind);
	if (StoreLastId(sequences[kind]) < value)
		StoreSetId(sequences[kind], value);
	Unlock(kind, rel);
}

/*
 * Go on beyond the present values of the sequences, which a restore or a superuser may
 * have set.
 */
void
CounterPassSequences(void)
{
	for (CounterKind kind = 0; kind < N_COUNTERS; kind++)
		CounterPass(kind, StoreLastId(sequences[kind]));
}
