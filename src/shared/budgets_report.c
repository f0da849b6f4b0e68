/*
 * budgets_report.c
 *	  Taking from budgets what a report says, until its transaction ends.
 *
 * A transaction keeps a list of what it has taken.  A rollback, also of a subtransaction,
 * gives it back; a commit forgets the list.  PREPARE TRANSACTION notes the id of the
 * transaction in shared memory, because any session may end it later.
 */
#include "taskq.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/procarray.h"

#include "base/error.h"
#include "base/grow.h"
#include "shared/budgets_int.h"
#include "shared/prepared.h"
#include "shared/shmem.h"

#define TELL_EVERY 1000 /* reports after which the scheduler adds them up at once */

/* A share of this transaction. */
typedef struct OwnShare
{
	Share share;
	int	  level; /* nesting level of the subtransaction */
} OwnShare;

/* Ordered by level, so those of the innermost subtransaction are the last ones. */
static OwnShare *shares = NULL;
static int		 n_shares = 0;
static int		 max_shares = 0;
static int		 n_noted = 0; /* so many are noted as those of a transaction that is being prepared */

/* Return the part of its hold of a budget that a run has not used, and where it is. */
static CostUnits *
HeldOf(Hold *hold, int32 budget_id)
{
	for (int i = 0; hold != NULL && i < hold->n; i++)
		if (hold->budget_ids[i] == budget_id)
			return &hold->amounts[i];
	return NULL;
}

/* Let an entry begin a new period, in which nothing is taken yet. */
static void
BeginPeriod(BudgetEntry *entry, int32 period_no)
{
	entry->period_no = period_no;
	entry->taken = 0;
	entry->refused = false;
}

/* Have the scheduler cancel running jobs. */
static void
TellExceeded(BudgetsDatabase *mine)
{
	pg_atomic_write_u32(&mine->exceeded, 1);
	ShmemWakeScheduler(ShmemMyDatabase());
}

/*
 * Take the amount, if the hard limit allows it, or if the report may overrun it.  What the
 * run itself holds is room for its report.  Sets *taken to the sum in the period.
 */
BudgetAnswer
BudgetsTake(const BudgetReport *report, CostUnits *taken)
{
	const BudgetBound *bound = &report->bound;
	BudgetsDatabase	  *mine = BudgetsMine();
	BudgetEntry		  *entry;
	BudgetAnswer	   answer = BUDGET_UNARMED;
	bool			   is_exceeded = false;
	OwnShare		   own = { .level = GetCurrentTransactionNestLevel() };
	Share			   share = {
					 .key = { MyDatabaseId, report->relid, bound->budget_id },
					 .period_no = bound->period_no,
					 .amount = report->amount,
					 .job_id = report->job_id,
					 .epoch = report->epoch,
	};

	if (mine == NULL)
		return BUDGET_NO_MEMORY;
	shares = GrowArray(shares, sizeof(OwnShare), &max_shares, n_shares + 1);
	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	entry = BudgetsFind(report->relid, bound->budget_id);
	if (entry != NULL && entry->armed && entry->period_no <= bound->period_no)
	{
		CostUnits *held = HeldOf(BudgetsFindHold(report->job_id, report->epoch), bound->budget_id);

		if (entry->period_no < bound->period_no)
			BeginPeriod(entry, bound->period_no);
		share.from_hold = held == NULL ? 0 : Min(*held, report->amount);
		answer = BUDGET_ROOM;
		if (bound->has_hard && entry->taken + report->amount > bound->hard)
			answer = report->may_overrun ? BUDGET_ROOM : BUDGET_SPENT;
		else if (report->amount >= entry->refused_amount)
			entry->refused = false; /* what was refused would have room, too */
		if (answer == BUDGET_ROOM)
		{
			entry->taken += report->amount;
			entry->held -= share.from_hold;
			if (held != NULL)
				*held -= share.from_hold;
			own.share = share;
			shares[n_shares++] = own;
		}
		is_exceeded = bound->has_hard && entry->taken >= bound->hard;
		*taken = entry->taken;
	}
	LWLockRelease(&budgets_shared->lock);
	if (is_exceeded && bound->cancels_running)
		TellExceeded(mine);
	return answer;
}

/*
 * A report was refused by the hard limit, and is no duplicate.  Its run has used what the
 * budget does not have, so no other job starts as long as the report would be refused.
 */
void
BudgetsRefuse(const BudgetReport *report)
{
	const BudgetBound *bound = &report->bound;
	BudgetEntry		  *entry;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	entry = BudgetsFind(report->relid, bound->budget_id);
	if (entry != NULL && entry->period_no == bound->period_no)
	{
		/* of several, the largest one counts */
		if (!BudgetIsRefused(entry, bound) || report->amount > entry->refused_amount)
			entry->refused_amount = report->amount;
		entry->refused = true;
		entry->refused_hard = bound->hard;
	}
	LWLockRelease(&budgets_shared->lock);
	if (bound->cancels_running)
		TellExceeded(BudgetsMine());
}

/* Has this transaction taken something? */
bool
BudgetsHasTaken(void)
{
	return n_shares > 0;
}

/* Give back what a report has taken, also to what its run holds.  The caller has the lock. */
void
BudgetsReturn(const Share *share, BudgetWake *wake)
{
	BudgetEntry *entry = BudgetsFind(share->key.relid, share->key.budget_id);
	CostUnits	*held;

	if (entry == NULL)
		return;
	if (entry->period_no == share->period_no)
		entry->taken -= share->amount;
	held = HeldOf(BudgetsFindHold(share->job_id, share->epoch), share->key.budget_id);
	if (held != NULL)
	{
		*held += share->from_hold;
		entry->held += share->from_hold;
	}
	BudgetCollect(entry, wake);
}

/* Give back what a report has taken.  Cannot fail. */
static void
GiveBack(const OwnShare *own)
{
	BudgetWake wake = { 0 };

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	BudgetsReturn(&own->share, &wake);
	LWLockRelease(&budgets_shared->lock);
	BudgetWakeAll(&wake);
}

/* The report that was taken last is not made after all. */
void
BudgetsGiveBack(void)
{
	Assert(n_shares > 0);
	GiveBack(&shares[--n_shares]);
}

/* prepared transactions ------------------------------------------------------ */

static bool
IsSame(const Share *a, const Share *b)
{
	return memcmp(&a->key, &b->key, sizeof(BudgetKey)) == 0 && a->period_no == b->period_no && a->amount == b->amount &&
		   a->job_id == b->job_id && a->epoch == b->epoch && a->from_hold == b->from_hold;
}

/*
 * Remove what was noted of a share, because the transaction is not prepared after all.
 * Returns false if it is not there: the scheduler has given it back already, as it sees the
 * end of the transaction before this process is called.
 */
static bool
UnnotePrepared(const OwnShare *own)
{
	TransactionId xid = GetTopTransactionIdIfAny();
	bool		  found = false;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_PREPARED_SHARES && !found; i++)
	{
		PreparedShare *prepared = &budgets_shared->prepared[i];

		if (prepared->xid != xid || !IsSame(&prepared->share, &own->share))
			continue;
		prepared->xid = InvalidTransactionId;
		pg_atomic_fetch_sub_u32(&BudgetsMine()->n_prepared, 1);
		found = true;
	}
	LWLockRelease(&budgets_shared->lock);
	return found;
}

/* Note what this transaction has taken under its id, before it is prepared.  Returns false if there is no room. */
static bool
NotePrepared(TransactionId xid)
{
	int at = 0;

	LWLockAcquire(&budgets_shared->lock, LW_EXCLUSIVE);
	for (; n_noted < n_shares && at < MAX_PREPARED_SHARES; at++)
	{
		PreparedShare *prepared = &budgets_shared->prepared[at];

		if (TransactionIdIsValid(prepared->xid))
			continue;
		*prepared = (PreparedShare){ xid, shares[n_noted].share };
		n_noted++;
	}
	LWLockRelease(&budgets_shared->lock);
	pg_atomic_fetch_add_u32(&BudgetsMine()->n_prepared, n_noted);
	return n_noted == n_shares;
}

/* callbacks ------------------------------------------------------------------ */

/* Add the reports of a transaction to those that the scheduler adds up. */
static void
TellScheduler(void)
{
	BudgetsDatabase *mine = BudgetsMine();

	if (mine != NULL && pg_atomic_fetch_add_u32(&mine->reported, 1) % TELL_EVERY == TELL_EVERY - 1)
		ShmemWakeScheduler(ShmemMyDatabase());
}

/* The transaction is rolled back. */
static void
GiveBackAll(void)
{
	for (; n_shares > n_noted; n_shares--)
		GiveBack(&shares[n_shares - 1]);
	for (; n_shares > 0; n_shares--)
		if (UnnotePrepared(&shares[n_shares - 1]))
			GiveBack(&shares[n_shares - 1]);
	n_noted = 0;
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if (n_shares == 0)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (!NotePrepared(GetTopTransactionId()))
				ereport(ERROR,
						(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
						 errmsg("too many reports of prepared transactions"),
						 errdetail("Shared memory has room for %d reports of transactions that are prepared.", MAX_PREPARED_SHARES),
						 errhint("Commit or roll back prepared transactions, or report more in one call.")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			if (event == XACT_EVENT_PREPARE)
				PreparedNote();
			TellScheduler();
			n_shares = n_noted = 0;
			break;
		case XACT_EVENT_ABORT:
			GiveBackAll();
			break;
		default:
			break;
	}
}

static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (n_shares > 0 && shares[n_shares - 1].level >= level)
			BudgetsGiveBack();
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = n_shares - 1; i >= 0 && shares[i].level >= level; i--)
			shares[i].level = level - 1;
}

/* Called once in a process, as callbacks stay registered. */
void
BudgetsReportInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
}
