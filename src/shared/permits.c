/*
 * permits.c
 *	  How often each permit of a worker was used, in shared memory.
 *
 * A session that has seen a permit free knows by this number whether another claim has used
 * it since (job/known_permits.c).  Several permits may share a counter.  Then a session may
 * take a free permit for a used one, but never the other way round.
 */
#include "taskq.h"

#include "common/hashfn.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/permits.h"
#include "shared/shmem.h"

#define COUNTERS 8192

static pg_atomic_uint64 *counters = NULL; /* NULL without preload */

static Size
CountersSize(void)
{
	return sizeof(pg_atomic_uint64) * COUNTERS;
}

static void
CountersStart(void)
{
	bool found;

	counters = ShmemInitStruct("taskq permits", CountersSize(), &found);
	for (int i = 0; i < COUNTERS && !found; i++)
		pg_atomic_init_u64(&counters[i], 0);
}

/* Called while the library is loaded. */
void
PermitsInit(void)
{
	ShmemRegister(CountersSize, CountersStart);
}

bool
PermitsCounted(void)
{
	return counters != NULL;
}

static pg_atomic_uint64 *
CounterOf(uint64 worker_key, int permit)
{
	return &counters[hash_combine64(worker_key, murmurhash32(permit)) % COUNTERS];
}

/* How often was the permit used? */
uint64
PermitUses(uint64 worker_key, int permit)
{
	return counters == NULL ? 0 : pg_atomic_read_u64(CounterOf(worker_key, permit));
}

/* Note that the permit is used once more.  The caller has locked it.  Returns how often it was. */
uint64
PermitUse(uint64 worker_key, int permit)
{
	return counters == NULL ? 0 : pg_atomic_add_fetch_u64(CounterOf(worker_key, permit), 1);
}
