/*
 * cache.c
 *	  The configuration in memory: rows of small tables that every process needs.
 *
 * All values of a cache are in one memory context.  A value that is replaced stays
 * there, because a caller may hold a pointer to it.  When such values outnumber the
 * current ones, the table is read into a new context.  The old context is deleted at
 * the end of the transaction, so the rule about lifetime in cache.h holds.
 */
#include "taskq.h"

#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "config/cache.h"
#include "config/cache_int.h"

#define MIN_REPLACED 256 /* a table is not read again to free memory while fewer values were replaced */

/* reading ------------------------------------------------------------------ */

typedef struct Reading
{
	ConfigCache *cache;
	bool		 any; /* a row was found that is kept */
} Reading;

static void
PutRow(TupleTableSlot *slot, void *arg)
{
	Reading		 *reading = arg;
	MemoryContext old = MemoryContextSwitchTo(reading->cache->context);
	void		 *value = reading->cache->read(slot);

	if (value != NULL)
	{
		CachePut(reading->cache, value);
		reading->any = true;
	}
	MemoryContextSwitchTo(old);
}

/* Add the value that exists even without a row, unless there is a row. */
static void
PutDefault(ConfigCache *cache)
{
	MemoryContext old = MemoryContextSwitchTo(cache->context);
	void		 *value = cache->make_default == NULL ? NULL : cache->make_default();

	if (value != NULL && CacheFindEntry(cache, value) == NULL)
		CachePut(cache, value);
	MemoryContextSwitchTo(old);
}

/* Create a new, empty context.  Values that were read before are kept until the transaction ends. */
static void
Renew(ConfigCache *cache)
{
	if (cache->context != NULL)
		MemoryContextSetParent(cache->context, TopTransactionContext);
	cache->context = AllocSetContextCreateInternal(TopMemoryContext, cache->name, ALLOCSET_DEFAULT_SIZES);
	cache->entries = NULL;
	cache->found = NULL;
	cache->n_entries = cache->max_entries = cache->n_live = cache->n_replaced = 0;
	CacheMakeTables(cache);
}

/*
 * Called before rows are read.  If an error interrupts the reading, "loading" stays
 * set, and then the table is read as a whole.
 */
static void
BeginReading(ConfigCache *cache)
{
	cache->loading = true;
	cache->may_be_old = IsInParallelMode();
	StaleReading();
}

/*
 * Read the whole table.  The marks are removed first, so that a row that changes
 * during the reading is marked again.
 */
static void
Load(ConfigCache *cache)
{
	Reading reading = { cache, false };

	cache->stale.all = false;
	cache->stale.n = 0;
	BeginReading(cache);
	Renew(cache);
	StoreScan(cache->rel, PutRow, &reading);
	PutDefault(cache);
	cache->loading = false;
}

/* Call a function for the row of a key, if it exists. */
void
ConfigScanRow(ConfigCache *cache, const void *key, StoreRowFunction function, void *arg)
{
	ScanKeyData scankey;

	if (cache->by_number)
		ScanKeyInit(&scankey, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(*(const int32 *) key));
	else
		ScanKeyEntryInitialize(&scankey, 0, 1, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
							   CStringGetTextDatum((const char *) key));
	StoreScanKey(cache->rel, &scankey, function, arg);
}

/* Read one row again. */
static void
ReadRow(ConfigCache *cache, const NewsKey *key)
{
	Reading reading = { cache, false };

	BeginReading(cache);
	ConfigScanRow(cache, key->bytes, PutRow, &reading);
	if (!reading.any)
		CacheRemove(cache, key->bytes);
	PutDefault(cache);
	cache->loading = false;
}

/* Read again the rows that are marked.  Called before each look-up. */
static void
Refresh(ConfigCache *cache)
{
	Assert(IsTransactionState());
	CatalogRequire();
	cache->stale.rel = cache->rel;
	StaleWatch(&cache->stale);
	StaleLook();
	if (cache->loading || (cache->may_be_old && !IsInParallelMode()) ||
		cache->n_replaced > Max(MIN_REPLACED, cache->n_live))
		cache->stale.all = true;
	while (cache->stale.n > 0 && !cache->stale.all)
	{
		NewsKey key = cache->stale.keys[--cache->stale.n];

		ReadRow(cache, &key);
	}
	if (cache->stale.all)
		Load(cache);
}

/* look-up ------------------------------------------------------------------ */

/* Return the value of a key, or NULL. */
void *
ConfigFind(ConfigCache *cache, const void *key)
{
	struct ConfigEntry *entry;

	Refresh(cache);
	if (!cache->by_number && strlen(key) > TASKQ_NAME_MAX)
		return NULL;
	entry = CacheFindEntry(cache, key);
	return entry == NULL ? NULL : entry->value;
}

/* Return the first value of a second key, or NULL. */
void *
ConfigFindSecond(ConfigCache *cache, const void *key)
{
	struct ConfigEntry *first;

	Refresh(cache);
	first = CacheFindSecond(cache, key);
	return first == NULL ? NULL : first->value;
}

/*
 * Return the next value of the same second key, or NULL.  There must be no other
 * look-up of this cache in between.
 */
void *
ConfigNextSecond(ConfigCache *cache, const void *value)
{
	struct ConfigEntry *entry = CacheFindEntry(cache, value);

	Assert(entry != NULL && entry->value == value);
	return entry->next == NULL ? NULL : entry->next->value;
}

/* Return all values, in an array that belongs to the caller. */
void **
ConfigAll(ConfigCache *cache, int *n)
{
	void **all;

	Refresh(cache);
	all = palloc(sizeof(void *) * (cache->n_live + 1));
	*n = 0;
	for (int i = 0; i < cache->n_entries; i++)
		if (cache->entries[i] != NULL)
			all[(*n)++] = cache->entries[i]->value;
	Assert(*n == cache->n_live);
	return all;
}

int
ConfigCount(ConfigCache *cache)
{
	Refresh(cache);
	return cache->n_live;
}

/* Return the number of a role's values. */
int
ConfigCountOf(ConfigCache *cache, Oid owner)
{
	Refresh(cache);
	return CacheCountOf(cache, owner);
}

/* Read a row again, although it is not marked. */
void
ConfigReadAgain(ConfigCache *cache, const void *key)
{
	NewsKey copy = { 0 };

	Refresh(cache);
	memcpy(copy.bytes, key, cache->by_number ? sizeof(int32) : strlen(key));
	ReadRow(cache, &copy);
}

/*
 * Replace a value by a copy, and return the copy.  The caller may change it.  Other
 * callers may still use the old value.
 */
void *
ConfigCopy(ConfigCache *cache, const void *value, Size size)
{
	struct ConfigEntry *entry = CacheFindEntry(cache, value);
	void			   *copy = MemoryContextAlloc(cache->context, size);

	Assert(entry != NULL && entry->value == value);
	Assert(cache->second_size == 0 && cache->owner == NULL);
	memcpy(copy, value, size);
	entry->value = copy;
	cache->n_replaced++;
	return copy;
}

/* Copy a string into the context of the values. */
char *
ConfigString(ConfigCache *cache, const char *string)
{
	return MemoryContextStrdup(cache->context, string);
}
