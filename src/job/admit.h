/*
 * admit.h
 *	  Admission: the rules that may prevent a chosen job from starting.
 */
#ifndef TASKQ_ADMIT_H
#define TASKQ_ADMIT_H

#include "taskq.h"

#include "config/eligible.h"
#include "config/reason.h"
#include "job/job.h"
#include "job/known_permits.h"
#include "shared/holders.h"
#include "shared/rates.h"
#include "shared/worker_name.h"

#define MAX_ADMISSION_RULES 32 /* a set of rules is a uint32 */

typedef enum Verdict
{
	ADMIT_YES,
	ADMIT_NOT_NOW,	/* pass over this job */
	ADMIT_CANCELLED /* the job was asked to be cancelled before it started */
} Verdict;

/* The state of one claim, from the choice of its first job until it has its last one. */
typedef struct Admitting
{
	const Claimant	 *claimant;
	const WorkerName *worker;		   /* name of an external worker, or NULL */
	int64			  job_id;		   /* the only job that the claim is for, or 0 */
	uint64			  tag;			   /* in a fair queue: when the group of that job has its turn */
	uint64			  queue_tag;	   /* if the claimant has weights: when its queue has */
	int64			  epoch;		   /* of the claim of the job that is being admitted, see Admission */
	bool			  holds_limits;	   /* that job is under limits */
	bool			  waits_for_value; /* no other job with the same value of a key can start: */
	HeldWait		  value;		   /* this one */
	bool			  is_behind;	   /* another job of its group comes before it */
	uint64			  limits_version;  /* LimitsVersion() when the last job was admitted */
	bool			  holds_budgets;   /* that job holds an estimate of budgets */
	uint64			  budgets_version; /* BudgetsVersion() when the last job was admitted */
	int				  n_admitted;	   /* number of jobs admitted so far */

	/*
	 * Set by a rule that allows the claim no job: the limit that the claim waits for.
	 * The rule calls WakeForLimit() with this key when it may allow another job.
	 */
	uint64 limit_key;

	/* What each rule has reserved for the whole claim.  Only the rule knows what it is. */
	void *reserved[MAX_ADMISSION_RULES];
	bool  has_reserved; /* at least one rule has */
} Admitting;

/* What is needed to end the admission of a job. */
typedef struct Admission
{
	int64  job_id;
	int64  epoch; /* negative until the claim has one */
	int32  route_id;
	uint64 worker_key; /* key of the external worker's name, or 0 */

	/* What was paid for the start, or NULL.  Only a claim of this transaction has it. */
	RatePaid *paid;

	/* The worker's permit that the run has, and its uses while it had it; number 0: none. */
	KnownPermit permit;
} Admission;

/* How an admission ends. */
typedef enum LeaveHow
{
	LEAVE_ENDED,	/* the run has ended, and that is committed */
	LEAVE_PREPARED, /* a transaction that ends the run is prepared */
	LEAVE_UNDONE	/* the claim was rolled back, or a later rule refused the job */
} LeaveHow;

/* A question to the rules.  Each member may be NULL, which means "any". */
typedef struct AdmissionQuestion
{
	const Claimant	 *claimant;
	const WorkerName *worker; /* name of an external worker, if it is the claimant */
	const TaskqRoute *route;
	const TaskqJob	 *job;
} AdmissionQuestion;

/* Why a rule prevents a start. */
typedef struct Refusal
{
	ReasonCode	reason_code; /* REASON_NONE if no rule prevents it */
	const char *reason;		 /* the text beside it; if the rule sets none, the usual one of the code */

	/*
	 * The error for a caller who asks for this job by its id.  If the rule does not
	 * set "problem", the error says only that the job cannot start now, and why.
	 */
	int			sqlstate;
	const char *problem; /* follows "job 1 " */
	const char *detail;	 /* or NULL */
	const char *hint;	 /* or NULL */
} Refusal;

/*
 * A rule.  All members except the name may be NULL.  All functions except "leave"
 * are called as the extension's owner.
 *
 * If a rule has admitted a job, it is told of the end of that admission by exactly
 * one call of "leave".  The call comes after the commit that ends the run, or after
 * the abort of the transaction or subtransaction that made the claim.  "leave" is
 * called after the transaction's locks are released.  It must not fail: it must not
 * allocate memory, report errors or read catalogs.
 *
 * If the transaction that ends the run is prepared, "leave" is called at PREPARE
 * TRANSACTION with LEAVE_PREPARED, because any session may commit the transaction
 * later, also after a restart.  Until then the job's row is running for everybody
 * else, and the transaction keeps its locks.  A rule must not release what the run
 * holds.  It relies on rows and locks when it is asked, and all waiting processes are
 * woken when the prepared transaction ends.  If that is rolled back, the run goes on,
 * and "leave" is called again when the run ends.
 *
 * A crash of the server ends all admissions without a call, because it empties shared
 * memory.
 */
typedef struct AdmissionRule
{
	const char *name;

	/*
	 * Called before the choice.  Returns how many jobs the claim may have, up to
	 * "most", or sets claim->limit_key and returns 0.  May set *reserved, which is NULL
	 * before, to what the rule reserves for the claim.
	 */
	int (*begin)(Admitting *claim, void **reserved, int most);

	/* How many jobs of the route may run, with those that run now?  0 if no other may start now. */
	int (*may_run)(int32 route_id);

	/* If only time keeps the next job of the route from starting, returns when it may.  Else DT_NOEND. */
	TimestampTz (*next)(int32 route_id);

	/* Called before a job of the route is locked.  May the job with this row start now, or with NULL, one of them? */
	bool (*admit_route)(int32 route_id, TupleTableSlot *row);

	/*
	 * Called before the job's row is locked: takes what the job needs.  Returns false if
	 * that is not to be had now.  So a claim never holds the row of a job that it may not
	 * start because others were faster.  "row" is the job's row as it was read; what the
	 * rule reads from it must be what never changes.
	 */
	bool (*hold)(Admitting *claim, int32 route_id, int64 job_id, TupleTableSlot *row);

	/* Called when the row is locked and the claim has its epoch, or another one.  Cannot fail. */
	void (*stamp)(const Admitting *claim, const Admission *before, int64 epoch);

	/* Called when the claim has read the time of the start.  Cannot fail. */
	void (*started)(const Admission *admission);

	/* Called when the configuration has changed since then.  Does the job still hold what it needs? */
	bool (*still_holds)(const Admitting *claim, const TaskqJob *job);

	/* Called with the job's row locked.  May it start now? */
	Verdict (*admit)(Admitting *claim, void *reserved, TaskqJob *job);

	/*
	 * See above.  If a claim for which this rule has reserved something fails, job_id
	 * is 0.
	 */
	void (*leave)(const Admission *admission, LeaveHow how);

	/*
	 * Called when the claim takes no more jobs, if this rule has reserved something.
	 * Gives back what the claim does not use.
	 */
	void (*end)(Admitting *claim, void *reserved);

	/* Does this rule prevent a start?  If so, sets at least refusal->reason_code. */
	bool (*explain)(const AdmissionQuestion *question, Refusal *refusal);
} AdmissionRule;

extern int		   AdmitBegin(Admitting *claim, const Claimant *claimant, const WorkerName *worker, int64 job_id, int most);
extern int		   AdmitMost(int32 route_id);
extern TimestampTz AdmitNext(int32 route_id);
extern bool		   AdmitRoute(int32 route_id, TupleTableSlot *row);
extern bool		   AdmitHold(Admitting *claim, int32 route_id, int64 job_id, TupleTableSlot *row);
extern void		   AdmitDrop(int64 job_id);
extern Verdict	   Admit(Admitting *claim, TaskqJob *job, int64 epoch);
extern void		   AdmitStamp(Admitting *claim, const TaskqJob *job, int64 epoch);
extern void		   AdmitStarted(const TaskqJob *job);
extern void		   AdmitCalled(int64 job_id);
extern void		   AdmitRepeats(bool repeats);
extern bool		   AdmitStillHolds(const Admitting *claim, const TaskqJob *job);
extern void		   AdmitUndo(Admitting *claim, const TaskqJob *job);
extern void		   AdmitEnd(Admitting *claim);
extern void		   AdmitLeave(uint32 rules, const Admission *admission, LeaveHow how);
extern bool		   AdmitExplain(const AdmissionQuestion *question, Refusal *refusal);
extern int		   AdmitExplainFrom(int first, const AdmissionQuestion *question, Refusal *refusal);

#endif /* TASKQ_ADMIT_H */
