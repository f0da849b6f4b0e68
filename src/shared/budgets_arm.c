/*
 * budgets_arm.c
 *	  Arming budgets, and looking after what nobody gives back: what the scheduler does
 *	  with the memory of budgets.c, and the process that adds up the reports.
 */
#include "taskq.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "storage/procarray.h"

#include "base/guc.h"
#include "shared/budgets_int.h"
#include "shared/shmem.h"

/* arming ----------------------------------------------------------------------- */

bool
BudgetsIsArmed(Oid relid, const BudgetBound *bound)
{
	const BudgetEntry *entry;
	bool			   is_armed;

	LWLockAcquire(&budgets_shared->lock, LW_SHARED);
	entry = BudgetsFind(relid, bound->budget_id);
	is_armed = entry != NULL && entry->armed;
	LWLockRelease(&budgets_shared->lock);
	return is_armed;
}

/* Make the entry of a budget, if it has none.  Returns false if there is no room. */
bool
BudgetsEnter(Oid relid, const BudgetBound *bound)
{
	BudgetKey	 key = { MyDatabaseId, relid, bound->budget_id };
	BudgetEntry *entry;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	entry = BudgetsFind(relid, bound->budget_id);
	if (entry == NULL && hash_get_num_entries(budget_entries) < taskq_max_budgets)
	{
		entry = hash_search(budget_entries, &key, HASH_ENTER_NULL, NULL);
		if (entry != NULL)
		{
			memset((char *) entry + sizeof(BudgetKey), 0, sizeof(BudgetEntry) - sizeof(BudgetKey));
			entry->period_no = bound->period_no;
		}
	}
	LWLockRelease(&budgets_shared->lock);
	return entry != NULL;
}

/* Does a job hold some of a budget? */
static bool
HoldsSome(const Hold *hold, int32 budget_id)
{
	for (int i = 0; i < hold->n; i++)
		if (hold->budget_ids[i] == budget_id)
			return true;
	return false;
}

/* Let a running job hold its estimate of the budgets that are not armed yet.  Returns false if there is no room. */
bool
BudgetsAddHold(const BudgetNeed *need, int64 job_id, int64 epoch)
{
	BudgetsDatabase *mine = BudgetsMine();
	Hold			*hold;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	hold = BudgetsFindHold(job_id, epoch);
	if (hold == NULL)
		hold = BudgetsEnterHold(mine, need->relid, job_id, epoch);
	for (int i = 0; i < need->n && hold != NULL; i++)
	{
		BudgetEntry *entry = BudgetsFind(need->relid, need->bounds[i].budget_id);

		if (entry != NULL && !entry->armed && hold->n < MAX_BUDGETS_OF_JOB && !HoldsSome(hold, entry->key.budget_id))
			BudgetsAddToHold(hold, entry, need->estimate);
	}
	LWLockRelease(&budgets_shared->lock);
	return hold != NULL;
}

/* There was no room for all jobs that hold some of the budget, so it is not armed. */
void
BudgetsLackMemory(Oid relid, int32 budget_id)
{
	BudgetEntry *entry;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	entry = BudgetsFind(relid, budget_id);
	if (entry != NULL)
		entry->lacks_memory = true;
	LWLockRelease(&budgets_shared->lock);
}

/* Note what a transaction that is open has taken.  Returns false if there is no room. */
static bool
NoteShare(BudgetsDatabase *mine, const BudgetEntry *entry, const BudgetPrepared *prepared)
{
	for (int i = 0; i < MAX_PREPARED_SHARES; i++)
		if (!TransactionIdIsValid(budgets_shared->prepared[i].xid))
		{
			budgets_shared->prepared[i] = (PreparedShare){ prepared->xid, { .key = entry->key, .period_no = entry->period_no, .amount = prepared->amount } };
			pg_atomic_fetch_add_u32(&mine->n_prepared, 1);
			return true;
		}
	return false;
}

/*
 * Arm a budget: so much was taken in its period.  A part of that belongs to prepared
 * transactions.  If there is no room to note one of them, its part stays taken even if it is
 * rolled back.
 */
bool
BudgetsArm(Oid relid, const BudgetBound *bound, CostUnits taken, const BudgetPrepared *prepared, int n)
{
	BudgetsDatabase *mine = BudgetsMine();
	BudgetEntry		*entry;
	bool			 done = false;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	entry = BudgetsFind(relid, bound->budget_id);
	if (entry != NULL && !entry->armed)
	{
		entry->period_no = bound->period_no;
		entry->taken = taken;
		entry->refused = entry->lacks_memory = false;
		for (int i = 0; i < n; i++)
			if (!NoteShare(mine, entry, &prepared[i]))
				break;
		entry->armed = done = true;
	}
	LWLockRelease(&budgets_shared->lock);
	return done;
}

/*
 * Have all budgets of this database added up anew.  What runs hold stays.  The caller has
 * made sure that no transaction is open that has taken something.
 */
void
BudgetsDisarm(void)
{
	HASH_SEQ_STATUS status;
	BudgetEntry	   *entry;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, budget_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == MyDatabaseId)
			entry->armed = false;
	LWLockRelease(&budgets_shared->lock);
}

/* what was dropped ------------------------------------------------------------ */

/* Copy the ids of the budgets of this installation that have entries; returns their number. */
int
BudgetsCopyIds(Oid relid, int32 **budget_ids)
{
	HASH_SEQ_STATUS status;
	BudgetEntry	   *entry;
	int				n = 0;

	*budget_ids = palloc_extended(sizeof(int32) * taskq_max_budgets, MCXT_ALLOC_HUGE);
	LWLockAcquire(&budgets_shared->lock, LW_SHARED);
	hash_seq_init(&status, budget_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (n < taskq_max_budgets && entry->key.dboid == MyDatabaseId && entry->key.relid == relid)
			(*budget_ids)[n++] = entry->key.budget_id;
	LWLockRelease(&budgets_shared->lock);
	return n;
}

/* Forget a budget that was dropped. */
void
BudgetsForget(Oid relid, int32 budget_id)
{
	BudgetKey key = { MyDatabaseId, relid, budget_id };

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	(void) hash_search(budget_entries, &key, HASH_REMOVE, NULL);
	LWLockRelease(&budgets_shared->lock);
}

/*
 * Forget the budgets of former installations in this database.  The caller has locked the
 * table of budgets of the present one, so there is no later one.
 */
void
BudgetsForgetOthers(Oid relid)
{
	HASH_SEQ_STATUS status;
	BudgetEntry	   *entry;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, budget_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == MyDatabaseId && entry->key.relid != relid)
			(void) hash_search(budget_entries, &entry->key, HASH_REMOVE, NULL);
	LWLockRelease(&budgets_shared->lock);
}

/* Forget all of a database that was dropped, or in which taskq was. */
void
BudgetsForgetDatabase(Oid dboid)
{
	HASH_SEQ_STATUS status;
	BudgetEntry	   *entry;
	Hold		   *hold;

	if (budgets_shared == NULL)
		return;
	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, budget_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == dboid)
			(void) hash_search(budget_entries, &entry->key, HASH_REMOVE, NULL);
	hash_seq_init(&status, hold_entries);
	while ((hold = hash_seq_search(&status)) != NULL)
		if (hold->key.dboid == dboid)
			(void) hash_search(hold_entries, &hold->key, HASH_REMOVE, NULL);
	for (int i = 0; i < MAX_PREPARED_SHARES; i++)
		if (budgets_shared->prepared[i].share.key.dboid == dboid)
			budgets_shared->prepared[i].xid = InvalidTransactionId;
	for (int i = 0; i < taskq_shared->n_databases; i++)
		if (taskq_databases[i].dboid == dboid)
		{
			BudgetsDatabase *database = &budgets_shared->databases[i];

			pg_atomic_write_u32(&database->n_holds, 0);
			pg_atomic_write_u32(&database->n_ending, 0);
			pg_atomic_write_u32(&database->n_prepared, 0);
			pg_atomic_write_u32(&database->exceeded, 0);
		}
	LWLockRelease(&budgets_shared->lock);
}

/* ends that nobody tells -------------------------------------------------------- */

/* Are there holds whose claims were made by transactions that have ended? */
bool
BudgetsAnyHold(void)
{
	BudgetsDatabase *mine = BudgetsMine();

	return mine != NULL && pg_atomic_read_u32(&mine->n_holds) != 0;
}

/* Are there prepared transactions that have taken something, or have ended a run? */
bool
BudgetsAnyPrepared(void)
{
	BudgetsDatabase *mine = BudgetsMine();

	return mine != NULL && (pg_atomic_read_u32(&mine->n_prepared) != 0 || pg_atomic_read_u32(&mine->n_ending) != 0);
}

/*
 * Copy the holds of claims whose transactions have ended: each must have a running row that
 * a new snapshot sees.  Returns their number.
 */
int
BudgetsCopyHolds(BudgetJob **jobs)
{
	HASH_SEQ_STATUS status;
	Hold		   *hold;
	int				most = pg_atomic_read_u32(&BudgetsMine()->n_holds);
	int				n = 0;

	*jobs = palloc_extended(sizeof(BudgetJob) * (most + 1), MCXT_ALLOC_HUGE);
	LWLockAcquire(&budgets_shared->lock, LW_SHARED);
	hash_seq_init(&status, hold_entries);
	while ((hold = hash_seq_search(&status)) != NULL)
		if (n < most && hold->key.dboid == MyDatabaseId &&
			(hold->slot < 0 || pg_atomic_read_u64(&taskq_slots[hold->slot].claims) != hold->claims))
			(*jobs)[n++] = (BudgetJob){ hold->key.job_id, hold->key.epoch };
	LWLockRelease(&budgets_shared->lock);
	return n;
}

/* A transaction that was prepared has ended.  If it was rolled back, give back its share. */
static void
EndShare(int at, TransactionId xid, bool committed)
{
	BudgetsDatabase *mine = BudgetsMine();
	PreparedShare	*prepared = &budgets_shared->prepared[at];
	BudgetWake		 wake = { 0 };

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	if (prepared->xid == xid && prepared->share.key.dboid == MyDatabaseId)
	{
		if (!committed)
			BudgetsReturn(&prepared->share, &wake);
		prepared->xid = InvalidTransactionId;
		pg_atomic_fetch_sub_u32(&mine->n_prepared, 1);
	}
	LWLockRelease(&budgets_shared->lock);
	BudgetWakeAll(&wake);
}

/* Look which prepared transactions of this database have ended, and how. */
void
BudgetsLookAtPrepared(void)
{
	TransactionId *xids = palloc(sizeof(TransactionId) * MAX_PREPARED_SHARES);

	LWLockAcquire(&budgets_shared->lock, LW_SHARED);
	for (int i = 0; i < MAX_PREPARED_SHARES; i++)
		xids[i] = budgets_shared->prepared[i].share.key.dboid == MyDatabaseId ? budgets_shared->prepared[i].xid : InvalidTransactionId;
	LWLockRelease(&budgets_shared->lock);
	for (int i = 0; i < MAX_PREPARED_SHARES; i++)
		if (TransactionIdIsValid(xids[i]) && !TransactionIdIsInProgress(xids[i]))
			EndShare(i, xids[i], TransactionIdDidCommit(xids[i]));
	pfree(xids);
}

/* for the scheduler and views ---------------------------------------------------- */

/* Return a number that changes with each transaction that has reported something. */
uint32
BudgetsReported(void)
{
	BudgetsDatabase *mine = BudgetsMine();

	return mine == NULL ? 0 : pg_atomic_read_u32(&mine->reported);
}

/* Was a hard limit reached? */
bool
BudgetsExceeded(bool clear)
{
	BudgetsDatabase *mine = BudgetsMine();

	if (mine == NULL)
		return false;
	return (clear ? pg_atomic_exchange_u32(&mine->exceeded, 0) : pg_atomic_read_u32(&mine->exceeded)) != 0;
}

/* Read the state of a budget. */
BudgetState
BudgetsStateOf(Oid relid, const BudgetBound *bound)
{
	BudgetState	 state = { .answer = BUDGET_UNARMED };
	BudgetEntry *entry;

	if (budgets_shared == NULL)
		return state;
	LWLockAcquire(&budgets_shared->lock, LW_SHARED);
	entry = BudgetsFind(relid, bound->budget_id);
	state.armed = entry != NULL && entry->armed;
	if (!state.armed)
		state.answer = BudgetsWhyUnarmed(entry);
	if (entry != NULL)
	{
		state.taken = BudgetTaken(entry, bound->period_no);
		state.held = entry->held;
		state.refused = BudgetIsRefused(entry, bound);
	}
	LWLockRelease(&budgets_shared->lock);
	return state;
}
