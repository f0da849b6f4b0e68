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

struct ConfigEntry
{
	void			   *value;
	int					at;	  /* in entries[] */
	struct ConfigEntry *next; /* with the same second key */
};

/* Entries of the hash tables.  The key must be the first field. */
typedef struct NameSlot
{
	char				name[TASKQ_NAME_MAX + 1];
	struct ConfigEntry *entry;
} NameSlot;

typedef struct NumberSlot
{
	int32				number;
	struct ConfigEntry *entry;
} NumberSlot;

#define MIN_REPLACED 256 /* a table is not read again to free memory while fewer values were replaced */

/* hash tables -------------------------------------------------------------- */

/*
 * Return the field of the hash table that points to the entry of a key, or NULL if
 * the key is not in the table.
 */
static struct ConfigEntry **
KeySlot(ConfigCache *cache, const void *key, HASHACTION action, bool *found)
{
	void *slot = hash_search(cache->by_key, key, action, found);

	if (slot == NULL)
		return NULL;
	return cache->by_number ? &((NumberSlot *) slot)->entry : &((NameSlot *) slot)->entry;
}

/* The same for a second key.  Its size differs from cache to cache. */
static struct ConfigEntry **
SecondSlot(ConfigCache *cache, const void *key, HASHACTION action, bool *found)
{
	char *slot = hash_search(cache->by_second, key, action, found);

	return slot == NULL ? NULL : (struct ConfigEntry **) (slot + MAXALIGN(cache->second_size));
}

static void
MakeTables(ConfigCache *cache)
{
	HASHCTL ctl = { .hcxt = cache->context };

	ctl.keysize = cache->by_number ? sizeof(int32) : TASKQ_NAME_MAX + 1;
	ctl.entrysize = cache->by_number ? sizeof(NumberSlot) : sizeof(NameSlot);
	cache->by_key = hash_create(cache->name, 256, &ctl,
								HASH_ELEM | (cache->by_number ? HASH_BLOBS : HASH_STRINGS) | HASH_CONTEXT);
	cache->by_second = NULL;
	if (cache->second_size == 0)
		return;
	ctl.keysize = cache->second_size;
	ctl.entrysize = MAXALIGN(cache->second_size) + sizeof(struct ConfigEntry *);
	cache->by_second = hash_create(cache->name, 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* values ------------------------------------------------------------------- */

static struct ConfigEntry *
FindEntry(ConfigCache *cache, const void *key)
{
	struct ConfigEntry **slot = KeySlot(cache, key, HASH_FIND, NULL);

	return slot == NULL ? NULL : *slot;
}

/* Add the entry to the list of its second key. */
static void
LinkSecond(ConfigCache *cache, struct ConfigEntry *entry)
{
	char				 key[MAXALIGN(sizeof(NewsKey)) * 2] = { 0 };
	struct ConfigEntry **first;
	bool				 found;

	if (cache->second_size == 0)
		return;
	Assert(cache->second_size <= sizeof(key));
	cache->second_key(entry->value, key);
	first = SecondSlot(cache, key, HASH_ENTER, &found);
	entry->next = found ? *first : NULL;
	*first = entry;
}

/* Remove the entry from the list of its second key. */
static void
UnlinkSecond(ConfigCache *cache, struct ConfigEntry *entry)
{
	char				 key[MAXALIGN(sizeof(NewsKey)) * 2] = { 0 };
	struct ConfigEntry **link;

	if (cache->second_size == 0)
		return;
	cache->second_key(entry->value, key);
	link = SecondSlot(cache, key, HASH_FIND, NULL);
	Assert(link != NULL);
	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
}

/* Make an entry.  The cache's context is the current one. */
static struct ConfigEntry *
NewEntry(ConfigCache *cache)
{
	struct ConfigEntry *entry = palloc0(sizeof(struct ConfigEntry));

	if (cache->n_entries == cache->max_entries)
	{
		int max = Max(64, cache->max_entries * 2);

		cache->entries = cache->entries == NULL ? palloc(max * sizeof(struct ConfigEntry *)) : repalloc_huge(cache->entries, max * sizeof(struct ConfigEntry *));
		cache->max_entries = max;
	}
	entry->at = cache->n_entries;
	return entry;
}

/* Add a value, or replace the value of the same key. */
static void
Put(ConfigCache *cache, void *value)
{
	struct ConfigEntry *entry = FindEntry(cache, value);
	bool				is_new = entry == NULL;

	if (is_new)
		entry = NewEntry(cache);
	else
	{
		UnlinkSecond(cache, entry);
		cache->n_replaced++;
	}
	entry->value = value;
	LinkSecond(cache, entry);
	if (!is_new)
		return;
	*KeySlot(cache, value, HASH_ENTER, NULL) = entry;
	cache->entries[cache->n_entries++] = entry;
	cache->n_live++;
}

static void
Remove(ConfigCache *cache, const void *key)
{
	struct ConfigEntry *entry = FindEntry(cache, key);

	if (entry == NULL)
		return;
	UnlinkSecond(cache, entry);
	(void) hash_search(cache->by_key, key, HASH_REMOVE, NULL);
	cache->entries[entry->at] = NULL;
	cache->n_live--;
	cache->n_replaced++;
}

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
		Put(reading->cache, value);
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

	if (value != NULL && FindEntry(cache, value) == NULL)
		Put(cache, value);
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
	cache->n_entries = cache->max_entries = cache->n_live = cache->n_replaced = 0;
	MakeTables(cache);
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
		Remove(cache, key->bytes);
	PutDefault(cache);
	cache->loading = false;
}

/* Read again the rows that are marked.  Called before each look-up. */
static void
Refresh(ConfigCache *cache)
{
	Assert(IsTransactionState());
	(void) CatalogRel(cache->rel); /* raises an error if taskq was dropped, or is of another version */
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
	entry = FindEntry(cache, key);
	return entry == NULL ? NULL : entry->value;
}

/* Return the first value of a second key, or NULL. */
void *
ConfigFindSecond(ConfigCache *cache, const void *key)
{
	struct ConfigEntry **first;

	Refresh(cache);
	first = SecondSlot(cache, key, HASH_FIND, NULL);
	return first == NULL || *first == NULL ? NULL : (*first)->value;
}

/*
 * Return the next value of the same second key, or NULL.  There must be no other
 * look-up of this cache in between.
 */
void *
ConfigNextSecond(ConfigCache *cache, const void *value)
{
	struct ConfigEntry *entry = FindEntry(cache, value);

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
	struct ConfigEntry *entry = FindEntry(cache, value);
	void			   *copy = MemoryContextAlloc(cache->context, size);

	Assert(entry != NULL && entry->value == value);
	Assert(cache->second_size == 0);
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
