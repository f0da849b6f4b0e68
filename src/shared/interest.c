/*
 * interest.c
 *	  Which processes wait for jobs of which routes.
 *
 * A commit that adds jobs of a route must find processes that wait for it, without
 * a look at all others.  So shared memory has a set of slots for each route_id modulo
 * BUCKETS.  Each process adds its own slot to the sets of its routes, and removes it.
 * There is no lock.  A slot in a set may belong to another database or wait for
 * another route of the same bucket, so it may be woken for nothing.
 */
#include "taskq.h"

#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "shared/interest.h"
#include "shared/shmem.h"

#define BUCKETS 1024

/* BUCKETS sets of n_words words, with a bit for each slot. */
static pg_atomic_uint64 *sets = NULL;
static int				 n_words;

/* The buckets whose sets contain the slot of this process. */
static uint64 mine[BUCKETS / 64];

static Size
SetsSize(void)
{
	return mul_size(sizeof(pg_atomic_uint64) * BUCKETS, (ShmemCountSlots() + 63) / 64);
}

static void
SetsStartup(void)
{
	bool found;

	n_words = (taskq_shared->n_slots + 63) / 64;
	sets = ShmemInitStruct("taskq interest", SetsSize(), &found);
	for (int i = 0; i < BUCKETS * n_words && !found; i++)
		pg_atomic_init_u64(&sets[i], 0);
}

void
InterestInit(void)
{
	ShmemRegister(SetsSize, SetsStartup);
}

/* Let the sets of these buckets, and no others, contain the slot of this process. */
static void
SetMine(const uint64 *buckets)
{
	int	   slot = MyProcIndex_compat();
	uint64 bit = UINT64CONST(1) << (slot % 64);

	for (int i = 0; i < BUCKETS / 64; i++)
	{
		for (uint64 changed = buckets[i] ^ mine[i]; changed != 0; changed &= changed - 1)
		{
			int				  bucket = i * 64 + pg_rightmost_one_pos64(changed);
			pg_atomic_uint64 *word = &sets[bucket * n_words + slot / 64];

			if ((buckets[i] & (changed & -changed)) != 0)
				(void) pg_atomic_fetch_or_u64(word, bit);
			else
				(void) pg_atomic_fetch_and_u64(word, ~bit);
		}
		mine[i] = buckets[i];
	}
}

static void
AtExit(int code, Datum arg)
{
	InterestEnd();
}

/* Enter this process as one that waits for jobs of these routes. */
void
InterestBegin(const RouteSet *routes)
{
	static bool leaves_at_exit = false;
	uint64		buckets[BUCKETS / 64] = { 0 };

	if (!leaves_at_exit)
		before_shmem_exit(AtExit, (Datum) 0);
	leaves_at_exit = true;
	for (int i = 0; i < routes->n; i++)
		buckets[routes->ids[i] / 64 % (BUCKETS / 64)] |= UINT64CONST(1) << (routes->ids[i] % 64);
	SetMine(buckets);
}

/* Remove this process from all sets. */
void
InterestEnd(void)
{
	static const uint64 none[BUCKETS / 64] = { 0 };

	SetMine(none);
}

/* Return the next slot after this one that waits for jobs of a route, or -1.  Begin with -1. */
int
InterestNext(int32 route_id, int slot)
{
	const int bucket = route_id % BUCKETS;
	int		  first = slot + 1;

	for (int w = first / 64; w < n_words; w++)
	{
		uint64 word = pg_atomic_read_u64(&sets[bucket * n_words + w]);

		if (w == first / 64)
			word &= ~UINT64CONST(0) << (first % 64);
		if (word != 0)
			return w * 64 + pg_rightmost_one_pos64(word);
	}
	return -1;
}
