/*
 * budgets.h
 *	  What was used of budgets, and what running jobs hold of them, in shared memory.
 */
#ifndef TASKQ_BUDGETS_H
#define TASKQ_BUDGETS_H

#include "taskq.h"

#include "base/cost.h"

#define MAX_BUDGETS_OF_JOB 8 /* no job names more budgets */

/* One budget, as its definition is now. */
typedef struct BudgetBound
{
	int32	  budget_id;
	int32	  period_no;
	bool	  has_hard;
	bool	  cancels_running; /* when the hard limit is reached */
	CostUnits hard;
} BudgetBound;

/* The budgets of a job. */
typedef struct BudgetNeed
{
	Oid			relid; /* of the table of budgets; another installation has another one */
	int32		route_id;
	CostUnits	estimate; /* what the run holds of each of them */
	int			n;
	BudgetBound bounds[MAX_BUDGETS_OF_JOB];
} BudgetNeed;

/* What a run does with a budget. */
typedef struct BudgetReport
{
	Oid			relid;
	BudgetBound bound;
	int64		job_id;
	int64		epoch;
	CostUnits	amount;
	bool		may_overrun;
} BudgetReport;

typedef enum BudgetAnswer
{
	BUDGET_ROOM,
	BUDGET_SPENT,	 /* the hard limit forbids it */
	BUDGET_UNARMED,	 /* it is not known yet how much was used, or another period has begun */
	BUDGET_NO_MEMORY /* there is no room to note another budget or job */
} BudgetAnswer;

/* The state of a budget in memory. */
typedef struct BudgetState
{
	bool		 armed;
	bool		 refused; /* a report was refused, and the limit is the same */
	CostUnits	 taken;	  /* what was reported in this period, by open transactions, too */
	CostUnits	 held;	  /* what running jobs hold */
	BudgetAnswer answer;  /* BUDGET_NO_MEMORY if that is why it is not armed */
} BudgetState;

/* A report of a transaction that is prepared, or a job that holds an estimate. */
typedef struct BudgetPrepared
{
	TransactionId xid;
	CostUnits	  amount;
} BudgetPrepared;

typedef struct BudgetJob
{
	int64 job_id;
	int64 epoch;
} BudgetJob;

extern void BudgetsInit(void);
extern bool BudgetsPresent(void);

/* budgets_claim.c */
extern BudgetAnswer BudgetsRoom(const BudgetNeed *need, int32 *which, bool wait);
extern BudgetAnswer BudgetsHold(const BudgetNeed *need, int64 job_id, int64 epoch);
extern void			BudgetsStamp(int64 job_id, int64 provisional, int64 epoch);
extern bool			BudgetsStillHold(const BudgetNeed *need, int64 job_id, int64 epoch);
extern bool			BudgetsRelease(int64 job_id, int64 epoch);
extern void			BudgetsReleasePrepared(int64 job_id, int64 epoch);

/* budgets_report.c */
extern BudgetAnswer BudgetsTake(const BudgetReport *report, CostUnits *taken);
extern void			BudgetsRefuse(const BudgetReport *report);
extern bool			BudgetsHasTaken(void);
extern void			BudgetsGiveBack(void);
extern void			BudgetsReportInit(void);

/* budgets_arm.c: for the process that adds up the reports, and for the scheduler */
extern bool		   BudgetsIsArmed(Oid relid, const BudgetBound *bound);
extern bool		   BudgetsEnter(Oid relid, const BudgetBound *bound);
extern bool		   BudgetsAddHold(const BudgetNeed *need, int64 job_id, int64 epoch);
extern bool		   BudgetsArm(Oid relid, const BudgetBound *bound, CostUnits taken, const BudgetPrepared *prepared, int n);
extern void		   BudgetsDisarm(void);
extern void		   BudgetsLackMemory(Oid relid, int32 budget_id);
extern int		   BudgetsCopyIds(Oid relid, int32 **budget_ids);
extern void		   BudgetsForget(Oid relid, int32 budget_id);
extern void		   BudgetsForgetOthers(Oid relid);
extern int		   BudgetsCopyHolds(BudgetJob **jobs);
extern bool		   BudgetsAnyHold(void);
extern bool		   BudgetsAnyPrepared(void);
extern void		   BudgetsLookAtPrepared(void);
extern uint32	   BudgetsReported(void);
extern bool		   BudgetsExceeded(bool clear);
extern void		   BudgetsForgetDatabase(Oid dboid);
extern BudgetState BudgetsStateOf(Oid relid, const BudgetBound *bound);

#endif /* TASKQ_BUDGETS_H */
