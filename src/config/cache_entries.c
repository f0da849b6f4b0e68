/*
 * cache_entries.c
 *	  The entries of a cache of the configuration, and the hash tables that find
 *	  them by their keys.
 */
#include "taskq.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "config/cache.h"
#include "config/cache_int.h"

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

typedef struct OwnerSlot
{
	Oid owner;
	int n;
} OwnerSlot;

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

/* Create the hash tables of a cache in its context. */
void
CacheMakeTables(ConfigCache *cache)
{
	HASHCTL ctl = { .hcxt = cache->context };

	ctl.keysize = cache->by_number ? sizeof(int32) : TASKQ_NAME_MAX + 1;
	ctl.entrysize = cache->by_number ? sizeof(NumberSlot) : sizeof(NameSlot);
	cache->by_key = hash_create(cache->name, 256, &ctl,
								HASH_ELEM | (cache->by_number ? HASH_BLOBS : HASH_STRINGS) | HASH_CONTEXT);
	cache->by_second = NULL;
	if (cache->second_size != 0)
	{
		ctl.keysize = cache->second_size;
		ctl.entrysize = MAXALIGN(cache->second_size) + sizeof(struct ConfigEntry *);
		cache->by_second = hash_create(cache->name, 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	cache->by_owner = NULL;
	if (cache->owner != NULL)
	{
		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(OwnerSlot);
		cache->by_owner = hash_create(cache->name, 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
}

/* entries ------------------------------------------------------------------ */

/* Is this the key of a value? */
static bool
IsKeyOf(const ConfigCache *cache, const void *value, const void *key)
{
	if (cache->by_number)
		return *(const int32 *) value == *(const int32 *) key;
	return strcmp(value, key) == 0;
}

/* Return the entry of a key, or NULL.  Most often it is the one that was found last. */
struct ConfigEntry *
CacheFindEntry(ConfigCache *cache, const void *key)
{
	struct ConfigEntry **slot;

	if (cache->found != NULL && IsKeyOf(cache, cache->found->value, key))
		return cache->found;
	slot = KeySlot(cache, key, HASH_FIND, NULL);
	if (slot == NULL)
		return NULL;
	cache->found = *slot;
	return *slot;
}

/* Return the first entry of a second key, or NULL. */
struct ConfigEntry *
CacheFindSecond(ConfigCache *cache, const void *key)
{
	struct ConfigEntry **first = SecondSlot(cache, key, HASH_FIND, NULL);

	return first == NULL ? NULL : *first;
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

/* Add to the number of values of the role that owns this one. */
static void
CountForOwner(ConfigCache *cache, const void *value, int by)
{
	Oid		   owner;
	OwnerSlot *slot;
	bool	   found;

	if (cache->owner == NULL)
		return;
	owner = cache->owner(value);
	slot = hash_search(cache->by_owner, &owner, HASH_ENTER, &found);
	slot->n = (found ? slot->n : 0) + by;
	Assert(slot->n >= 0);
}

/* Return the number of a role's values. */
int
CacheCountOf(ConfigCache *cache, Oid owner)
{
	OwnerSlot *slot = hash_search(cache->by_owner, &owner, HASH_FIND, NULL);

	return slot == NULL ? 0 : slot->n;
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
void
CachePut(ConfigCache *cache, void *value)
{
	struct ConfigEntry *entry = CacheFindEntry(cache, value);
	bool				is_new = entry == NULL;

	if (is_new)
		entry = NewEntry(cache);
	else
	{
		UnlinkSecond(cache, entry);
		CountForOwner(cache, entry->value, -1);
		cache->n_replaced++;
	}
	entry->value = value;
	LinkSecond(cache, entry);
	CountForOwner(cache, value, 1);
	if (!is_new)
		return;
	*KeySlot(cache, value, HASH_ENTER, NULL) = entry;
	cache->entries[cache->n_entries++] = entry;
	cache->n_live++;
}

/* Remove the value of a key, if there is one. */
void
CacheRemove(ConfigCache *cache, const void *key)
{
	struct ConfigEntry *entry = CacheFindEntry(cache, key);

	if (entry == NULL)
		return;
	UnlinkSecond(cache, entry);
	CountForOwner(cache, entry->value, -1);
	(void) hash_search(cache->by_key, key, HASH_REMOVE, NULL);
	cache->entries[entry->at] = NULL;
	cache->found = NULL;
	cache->n_live--;
	cache->n_replaced++;
}
