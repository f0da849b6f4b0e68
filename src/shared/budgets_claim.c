/*
 * budgets_claim.c
 *	  Whether a job may start, and what its run holds of budgets.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/guc.h"
#include "shared/budgets_int.h"
#include "shared/shmem.h"

/* Note that jobs of a route wait for a budget. */
static void
NoteBlocked(BudgetEntry *entry, int32 route_id)
{
	for (int i = 0; i < Min(entry->n_blocked, MAX_BLOCKED_ROUTES); i++)
		if (entry->blocked[i] == route_id)
			return;
	if (entry->n_blocked < MAX_BLOCKED_ROUTES)
		entry->blocked[entry->n_blocked] = route_id;
	entry->n_blocked = Min(entry->n_blocked + 1, MAX_BLOCKED_ROUTES + 1);
}

/*
 * May a run start that needs so much of a budget, beyond what is held?  A run without an
 * estimate needs that something is left.
 */
static bool
HasRoom(const BudgetEntry *entry, const BudgetBound *bound, CostUnits estimate)
{
	CostUnits sum = BudgetTaken(entry, bound->period_no) + entry->held + estimate;

	if (!bound->has_hard)
		return true;
	if (BudgetIsRefused(entry, bound))
		return false;
	return estimate > 0 ? sum <= bound->hard : sum < bound->hard;
}

/* Is it known what was used of the budget, in this period or an earlier one? */
static bool
IsArmed(const BudgetEntry *entry, const BudgetBound *bound)
{
	return entry != NULL && entry->armed && entry->period_no <= bound->period_no;
}

/* Return why a budget is not armed.  "entry" is NULL if it has none. */
BudgetAnswer
BudgetsWhyUnarmed(const BudgetEntry *entry)
{
	bool is_full = entry == NULL && hash_get_num_entries(budget_entries) >= taskq_max_budgets;

	return is_full || (entry != NULL && !entry->armed && entry->lacks_memory) ? BUDGET_NO_MEMORY : BUDGET_UNARMED;
}

/*
 * May a run start that holds "estimate" more of each budget?  Sets *which to the budget that
 * forbids it.  With "wait", the route is noted there.  The caller holds the lock.
 */
static BudgetAnswer
Ask(const BudgetNeed *need, CostUnits estimate, int32 *which, bool wait)
{
	*which = 0;
	for (int i = 0; i < need->n; i++)
	{
		const BudgetBound *bound = &need->bounds[i];
		BudgetEntry		  *entry = BudgetsFind(need->relid, bound->budget_id);
		bool			   is_armed = IsArmed(entry, bound);

		if (is_armed && HasRoom(entry, bound, estimate))
			continue;
		*which = bound->budget_id;
		if (entry != NULL && wait)
			NoteBlocked(entry, need->route_id);
		return is_armed ? BUDGET_SPENT : BudgetsWhyUnarmed(entry);
	}
	if (estimate == 0 || hash_get_num_entries(hold_entries) < taskq_max_held_jobs)
		return BUDGET_ROOM;
	return BUDGET_NO_MEMORY;
}

/*
 * May another job with these budgets start?  If there is no room, *which is the budget.
 * With "wait", a process that waits for the route is woken when there is more room.
 */
BudgetAnswer
BudgetsRoom(const BudgetNeed *need, int32 *which, bool wait)
{
	BudgetAnswer answer;

	LWLockAcquire(&budgets_shared->lock, LW_SHARED);
	answer = Ask(need, need->estimate, which, false);
	LWLockRelease(&budgets_shared->lock);
	if (answer == BUDGET_ROOM || !wait)
		return answer;
	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	answer = Ask(need, need->estimate, which, true);
	LWLockRelease(&budgets_shared->lock);
	return answer;
}

/* Enter a job that holds estimates.  Returns NULL if there is no room. */
Hold *
BudgetsEnterHold(BudgetsDatabase *mine, Oid relid, int64 job_id, int64 epoch)
{
	HoldKey key = BudgetsHoldKey(job_id, epoch);
	Hold   *hold = NULL;

	if (hash_get_num_entries(hold_entries) < taskq_max_held_jobs)
		hold = hash_search(hold_entries, &key, HASH_ENTER_NULL, NULL);
	if (hold == NULL)
		return NULL;
	memset((char *) hold + sizeof(HoldKey), 0, sizeof(Hold) - sizeof(HoldKey));
	hold->slot = -1;
	hold->relid = relid;
	pg_atomic_fetch_add_u32(&mine->n_holds, 1);
	return hold;
}

void
BudgetsAddToHold(Hold *hold, BudgetEntry *entry, CostUnits amount)
{
	Assert(hold->n < MAX_BUDGETS_OF_JOB);
	hold->budget_ids[hold->n] = entry->key.budget_id;
	hold->amounts[hold->n++] = amount;
	entry->held += amount;
}

/* Let a claim of this transaction hold its estimate, of all budgets or of none. */
BudgetAnswer
BudgetsHold(const BudgetNeed *need, int64 job_id, int64 epoch)
{
	BudgetsDatabase *mine = BudgetsMine();
	TaskqSlot		*slot = ShmemMySlot();
	BudgetAnswer	 answer;
	Hold			*hold = NULL;
	int32			 which;

	if (mine == NULL)
		return BUDGET_UNARMED;
	Assert(need->estimate > 0);
	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	answer = Ask(need, need->estimate, &which, true);
	if (answer == BUDGET_ROOM)
	{
		hold = BudgetsEnterHold(mine, need->relid, job_id, epoch);
		if (hold == NULL)
			answer = BUDGET_NO_MEMORY;
	}
	if (hold != NULL)
	{
		hold->slot = slot - taskq_slots;
		hold->claims = pg_atomic_read_u64(&slot->claims);
		for (int i = 0; i < need->n; i++)
			BudgetsAddToHold(hold, BudgetsFind(need->relid, need->bounds[i].budget_id), need->estimate);
	}
	LWLockRelease(&budgets_shared->lock);
	return answer;
}

/*
 * The claim that holds an estimate under a provisional number has its epoch now.  An entry
 * that was just removed leaves room for another one, so this cannot fail.
 */
void
BudgetsStamp(int64 job_id, int64 provisional, int64 epoch)
{
	HoldKey key = BudgetsHoldKey(job_id, provisional);
	Hold   *hold;
	Hold	copy;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	hold = hash_search(hold_entries, &key, HASH_FIND, NULL);
	Assert(hold != NULL);
	copy = *hold;
	(void) hash_search(hold_entries, &key, HASH_REMOVE, NULL);
	copy.key = BudgetsHoldKey(job_id, epoch);
	hold = hash_search(hold_entries, &copy.key, HASH_ENTER_NULL, NULL);
	if (hold != NULL)
		*hold = copy;
	LWLockRelease(&budgets_shared->lock);
	Assert(hold != NULL);
}

/* May a run that was admitted start, now that the budgets have changed?  It holds its estimate already. */
bool
BudgetsStillHold(const BudgetNeed *need, int64 job_id, int64 epoch)
{
	const Hold *hold;
	int			found = 0;
	int32		which;
	bool		holds;

	LWLockAcquire(&budgets_shared->lock, LW_SHARED);
	hold = BudgetsFindHold(job_id, epoch);
	for (int i = 0; i < need->n && hold != NULL; i++)
		for (int j = 0; j < hold->n; j++)
			found += hold->budget_ids[j] == need->bounds[i].budget_id;
	if (need->estimate == 0)
		holds = Ask(need, 0, &which, false) == BUDGET_ROOM;
	else
		holds = found == need->n;
	for (int i = 0; i < need->n && holds && need->estimate > 0; i++)
	{
		const BudgetEntry *entry = BudgetsFind(need->relid, need->bounds[i].budget_id);

		holds = IsArmed(entry, &need->bounds[i]) &&
				(!need->bounds[i].has_hard || BudgetTaken(entry, need->bounds[i].period_no) + entry->held <= need->bounds[i].hard);
	}
	LWLockRelease(&budgets_shared->lock);
	return holds;
}

/* The run has ended.  Give back what it holds; returns false if that is nothing.  Cannot fail. */
bool
BudgetsRelease(int64 job_id, int64 epoch)
{
	BudgetsDatabase *mine = BudgetsMine();
	Hold			*hold;
	BudgetWake		 wake;

	if (mine == NULL || pg_atomic_read_u32(&mine->n_holds) == 0)
		return false;
	wake.all = false;
	wake.n = 0;
	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	hold = BudgetsFindHold(job_id, epoch);
	for (int i = 0; hold != NULL && i < hold->n; i++)
	{
		BudgetEntry *entry = BudgetsFind(hold->relid, hold->budget_ids[i]);

		if (entry == NULL)
			continue;
		entry->held -= hold->amounts[i];
		BudgetCollect(entry, &wake);
	}
	if (hold != NULL)
	{
		if (hold->ending)
			pg_atomic_fetch_sub_u32(&mine->n_ending, 1);
		pg_atomic_fetch_sub_u32(&mine->n_holds, 1);
		(void) hash_search(hold_entries, &hold->key, HASH_REMOVE, NULL);
	}
	LWLockRelease(&budgets_shared->lock);
	BudgetWakeAll(&wake);
	return hold != NULL;
}

/* A prepared transaction has ended the run.  The scheduler looks whether it is committed. */
void
BudgetsReleasePrepared(int64 job_id, int64 epoch)
{
	BudgetsDatabase *mine = BudgetsMine();
	Hold			*hold;

	if (mine == NULL || pg_atomic_read_u32(&mine->n_holds) == 0)
		return;
	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	hold = BudgetsFindHold(job_id, epoch);
	if (hold != NULL && !hold->ending)
	{
		hold->ending = true;
		pg_atomic_fetch_add_u32(&mine->n_ending, 1);
	}
	LWLockRelease(&budgets_shared->lock);
}
