/*
 * holders_value.c
 *	  What running jobs hold of limits that are for each value of a key.
 *
 * A value has an entry as long as a job holds the limit for it.  Entries are found by the
 * whole values, not by hashes of them.
 */
#include "taskq.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "base/guc.h"
#include "shared/holders_int.h"

/* Hash a limit and one value.  Only the texts are hashed, which are mostly much shorter than their arrays. */
uint32
HeldHash(int32 limit_id, const char *value)
{
	const char *second = value + TASKQ_NAME_MAX + 1;
	uint32		hash = murmurhash32((uint32) limit_id);

	if (value[0] != '\0')
		hash = hash_combine(hash, hash_bytes((const unsigned char *) value, strlen(value)));
	if (second[0] != '\0')
		hash = hash_combine(hash, hash_bytes((const unsigned char *) second, strlen(second)));
	return hash;
}

/* The hash function of the entries of values. */
uint32
HoldersHashValue(const void *key, Size size)
{
	const ValueKey *value = key;

	return HeldHash(value->limit_id, value->value);
}

/* Find, or make, the entry of a limit for one value.  Returns NULL if there is none, or no room. */
ValueEntry *
HoldersFindValue(Oid relid, int32 limit_id, const char *value, HASHACTION action)
{
	ValueKey	key = { MyDatabaseId, relid, limit_id };
	ValueEntry *entry;
	bool		found;

	Assert(LWLockHeldByMe(&holders->lock));
	memcpy(key.value, value, HELD_VALUE_SIZE);
	if (action == HASH_ENTER_NULL && hash_get_num_entries(value_entries) >= MAX_VALUES)
		action = HASH_FIND;
	entry = hash_search(value_entries, &key, action, &found);
	if (entry != NULL && action == HASH_ENTER_NULL && !found)
		entry->in_use = 0;
	return entry;
}

/* A job does not hold the limit for a value any more.  "value" may be NULL. */
void
HolderLeaveValue(ValueEntry *value)
{
	if (value == NULL)
		return;
	Assert(value->in_use > 0);
	if (--value->in_use == 0)
		(void) hash_search(value_entries, &value->key, HASH_REMOVE, NULL);
}

/* May another job hold the limit for this value? */
bool
HoldersHaveRoom(const HeldWait *wait)
{
	const ValueEntry *entry;
	bool			  has_room;

	LWLockAcquire(&holders->lock, LW_SHARED);
	entry = HoldersFindValue(wait->value.relid, wait->value.limit_id, wait->value.value, HASH_FIND);
	has_room = (entry == NULL ? 0 : entry->in_use) < wait->most;
	LWLockRelease(&holders->lock);
	return has_room;
}

/* Copy how many jobs hold a limit for each value.  Returns the number of values. */
int
HoldersValuesOf(Oid relid, int32 limit_id, HeldUse **uses)
{
	HASH_SEQ_STATUS status;
	ValueEntry	   *entry;
	int				most = holders == NULL ? 0 : hash_get_num_entries(value_entries) + MAX_HELD;
	int				n = 0;

	*uses = palloc_extended(sizeof(HeldUse) * (most + 1), MCXT_ALLOC_HUGE);
	if (holders == NULL)
		return 0;
	LWLockAcquire(&holders->lock, LW_SHARED);
	hash_seq_init(&status, value_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == MyDatabaseId && entry->key.relid == relid && entry->key.limit_id == limit_id && n < most)
		{
			memcpy((*uses)[n].value, entry->key.value, HELD_VALUE_SIZE);
			(*uses)[n++].in_use = entry->in_use;
		}
	LWLockRelease(&holders->lock);
	return n;
}
