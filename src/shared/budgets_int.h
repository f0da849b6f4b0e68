/*
 * budgets_int.h
 *	  The memory of budgets, for the files budgets*.c only.
 */
#ifndef TASKQ_BUDGETS_INT_H
#define TASKQ_BUDGETS_INT_H

#include "taskq.h"

#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/hsearch.h"

#include "shared/budgets.h"

#define MAX_BLOCKED_ROUTES 16	 /* of a budget; with more than these, everybody is woken */
#define MAX_PREPARED_SHARES 1024 /* of all databases together */

typedef struct BudgetKey
{
	Oid	  dboid;
	Oid	  relid;
	int32 budget_id;
} BudgetKey;

typedef struct BudgetEntry
{
	BudgetKey key;
	bool	  armed;
	bool	  lacks_memory;	  /* there was no room for all jobs that hold some of it */
	int32	  period_no;	  /* the period of "taken" */
	CostUnits taken;		  /* reported in the period, by transactions that are open or prepared, too */
	CostUnits held;			  /* by running jobs */
	bool	  refused;		  /* a report was refused: */
	CostUnits refused_amount; /* it was of this amount, */
	CostUnits refused_hard;	  /* and this was the hard limit */
	int		  n_blocked;	  /* more than MAX_BLOCKED_ROUTES: not all of them are noted */
	int32	  blocked[MAX_BLOCKED_ROUTES];
} BudgetEntry;

typedef struct HoldKey
{
	Oid	   dboid;
	uint32 zero; /* there is no padding in a key */
	int64  job_id;
	int64  epoch;
} HoldKey;

/* What a running job holds. */
typedef struct Hold
{
	HoldKey	  key;
	bool	  ending; /* a prepared transaction has ended the run */
	int		  slot;	  /* of the process that has claimed the job, or -1 */
	uint64	  claims; /* TaskqSlot.claims of its transaction */
	Oid		  relid;
	int		  n;
	int32	  budget_ids[MAX_BUDGETS_OF_JOB];
	CostUnits amounts[MAX_BUDGETS_OF_JOB];
} Hold;

/* What a transaction has taken by one report. */
typedef struct Share
{
	BudgetKey key;
	int32	  period_no;
	CostUnits amount;
	int64	  job_id;
	int64	  epoch;
	CostUnits from_hold; /* the part that the run held before */
} Share;

/* What a prepared transaction has taken. */
typedef struct PreparedShare
{
	TransactionId xid; /* InvalidTransactionId if the entry is free */
	Share		  share;
} PreparedShare;

/* What there is for each database. */
typedef struct BudgetsDatabase
{
	pg_atomic_uint32 n_holds;
	pg_atomic_uint32 n_ending;	 /* holds whose end is prepared */
	pg_atomic_uint32 n_prepared; /* shares of prepared transactions */
	pg_atomic_uint32 reported;	 /* number of transactions with reports */
	pg_atomic_uint32 exceeded;	 /* a hard limit was reached */
} BudgetsDatabase;

typedef struct Budgets
{
	LWLock			lock; /* guards everything but the atomics */
	PreparedShare	prepared[MAX_PREPARED_SHARES];
	BudgetsDatabase databases[FLEXIBLE_ARRAY_MEMBER];
} Budgets;

extern Budgets *budgets_shared; /* NULL without preload */
extern HTAB	   *budget_entries;
extern HTAB	   *hold_entries;

/* Whom to wake, after the lock is released. */
typedef struct BudgetWake
{
	bool  all;
	int	  n;
	int32 routes[MAX_BUDGETS_OF_JOB * MAX_BLOCKED_ROUTES];
} BudgetWake;

extern BudgetsDatabase *BudgetsMine(void);
extern BudgetEntry	   *BudgetsFind(Oid relid, int32 budget_id);
extern HoldKey			BudgetsHoldKey(int64 job_id, int64 epoch);
extern Hold			   *BudgetsFindHold(int64 job_id, int64 epoch);
extern Hold			   *BudgetsEnterHold(BudgetsDatabase *mine, Oid relid, int64 job_id, int64 epoch);
extern void				BudgetsAddToHold(Hold *hold, BudgetEntry *entry, CostUnits amount);
extern void				BudgetsReturn(const Share *share, BudgetWake *wake);
extern BudgetAnswer		BudgetsWhyUnarmed(const BudgetEntry *entry);
extern bool				BudgetIsRefused(const BudgetEntry *entry, const BudgetBound *bound);
extern CostUnits		BudgetTaken(const BudgetEntry *entry, int32 period_no);
extern void				BudgetCollect(BudgetEntry *entry, BudgetWake *wake);
extern void				BudgetWakeAll(const BudgetWake *wake);

#endif /* TASKQ_BUDGETS_INT_H */
