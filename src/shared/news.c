/*
 * news.c
 *	  Telling all processes which rows of the configuration have changed.
 *
 * The last NEWS_KEPT changes of the whole cluster are kept in a ring in shared
 * memory.  A commit adds its changes after its rows have become visible and before
 * it releases its locks.  So a process that has waited for such a lock finds the
 * changes here.  Each process remembers how many items it has read.
 *
 * Without preload there is no ring.  On a standby no process adds to the ring.  In
 * both cases a relcache invalidation says that a table has changed (config/stale.c).
 */
#include "taskq.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shared/news.h"
#include "shared/shmem.h"

typedef struct NewsRing
{
	LWLock			 lock;
	pg_atomic_uint64 n; /* number of items that were ever added; changed under the lock */
	NewsItem		 items[NEWS_KEPT];
} NewsRing;

static NewsRing *ring = NULL;

/* Number of items that this process has read. */
static uint64 n_read = 0;

static Size
RingSize(void)
{
	return MAXALIGN(sizeof(NewsRing));
}

static void
RingStartup(void)
{
	bool found;

	ring = ShmemInitStruct("taskq news", RingSize(), &found);
	if (found)
		return;
	memset(ring, 0, sizeof(NewsRing));
	LWLockInitialize(&ring->lock, taskq_tranche);
	pg_atomic_init_u64(&ring->n, 0);
}

void
NewsInit(void)
{
	ShmemRegister(RingSize, RingStartup);
}

bool
NewsPresent(void)
{
	return ring != NULL;
}

/*
 * Add a change of one row, or of any row if key is NULL.  Called by commit callbacks,
 * so it cannot fail.
 */
void
NewsPush(int table, const NewsKey *key)
{
	NewsItem *item;
	uint64	  n;

	if (ring == NULL)
		return;
	LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
	n = pg_atomic_read_u64(&ring->n);
	item = &ring->items[n % NEWS_KEPT];
	item->dboid = MyDatabaseId;
	item->table = table;
	item->all_rows = key == NULL;
	if (key != NULL)
		item->key = *key;
	pg_atomic_write_u64(&ring->n, n + 1);
	LWLockRelease(&ring->lock);

	/* this process knows its own change already */
	if (n_read == n)
		n_read = n + 1;
}

static pg_noinline void
ReadRing(NewsFunction function)
{
	uint64 n;

	for (;;)
	{
		NewsItem item = { .dboid = MyDatabaseId, .table = NEWS_ALL_TABLES, .all_rows = true };

		LWLockAcquire(&ring->lock, LW_SHARED);
		n = pg_atomic_read_u64(&ring->n);
		Assert(n_read <= n);
		if (n - n_read <= NEWS_KEPT && n_read < n)
			item = ring->items[n_read % NEWS_KEPT];
		LWLockRelease(&ring->lock);
		if (n_read == n)
			return;

		/* the function may fail, so the item counts as read only when it has returned */
		if (item.dboid == MyDatabaseId)
			function(&item);
		n_read = n - n_read <= NEWS_KEPT ? n_read + 1 : n;
	}
}

/*
 * Call a function for each item of this database that was added since the last
 * call.  If some of the items were overwritten, it is called once for a change of
 * all tables instead.  Each look-up calls this, so it must be cheap if there is no
 * new item.
 */
void
NewsRead(NewsFunction function)
{
	if (ring != NULL && pg_atomic_read_u64(&ring->n) != n_read)
		ReadRing(function);
}
