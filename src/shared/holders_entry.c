/*
 * holders_entry.c
 *	  The entries of jobs that hold limits (holders.c).
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/guc.h"
#include "shared/holders_int.h"

/* Enter a job that holds the limits.  Returns NULL if there is no room. */
Holder *
HoldersEnter(HoldersDatabase *mine, Oid relid, int64 job_id, int64 epoch)
{
	HolderKey key = HolderKeyOf(job_id, epoch);
	Holder	 *holder = hash_search(holder_entries, &key, HASH_FIND, NULL);

	if (holder != NULL || hash_get_num_entries(holder_entries) >= taskq_max_held_jobs)
		return holder;
	holder = hash_search(holder_entries, &key, HASH_ENTER_NULL, NULL);
	if (holder == NULL)
		return NULL;
	holder->released = false;
	holder->relid = relid;
	holder->n = 0;
	holder->slot = -1;
	holder->claims = 0;
	if (mine->dboid != MyDatabaseId)
	{
		mine->dboid = MyDatabaseId;
		mine->n_holders = 0;
	}
	mine->n_holders++;
	HoldersSetUsed(mine);
	return holder;
}

/* Forget which limits a job holds that do not exist any more. */
static void
ForgetOld(Holder *holder)
{
	int kept = 0;

	for (int i = 0; i < holder->n; i++)
		if (HoldersFindLimit(holder->relid, holder->held[i].limit_id) != NULL)
			holder->held[kept++] = holder->held[i];
		else
			HolderLeaveValue(holder->held[i].value);
	holder->n = kept;
}

/* Let a job hold a limit.  Returns HOLDERS_NO_MEMORY if it cannot. */
HoldersAnswer
HolderAdd(Holder *holder, LimitEntry *entry, const HeldLimit *limit)
{
	ValueEntry *value = NULL;

	for (int i = 0; i < holder->n; i++)
		if (holder->held[i].limit_id == limit->limit_id)
			return HOLDERS_ROOM;
	if (holder->n == MAX_HELD)
		ForgetOld(holder);
	if (holder->n == MAX_HELD)
		return HOLDERS_NO_MEMORY;
	if (limit->by_key)
	{
		value = HoldersFindValue(holder->relid, limit->limit_id, limit->value, HASH_ENTER_NULL);
		if (value == NULL)
			return HOLDERS_NO_MEMORY;
		value->in_use++;
	}
	holder->held[holder->n].limit_id = limit->limit_id;
	holder->held[holder->n++].value = value;
	entry->in_use++;
	return HOLDERS_ROOM;
}
