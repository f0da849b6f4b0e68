/*
 * admit.h
 *	  What may keep a chosen job from starting: a list of rules.
 */
#ifndef TASKQ_ADMIT_H
#define TASKQ_ADMIT_H

#include "taskq.h"

#include "config/eligible.h"
#include "job/job.h"

#define MAX_RESERVED 200 /* what a rule may reserve for one claim */

typedef enum Verdict
{
	ADMIT_YES,
	ADMIT_NOT_NOW,	/* pass over this job */
	ADMIT_CANCELLED /* the job was asked to be cancelled before it started */
} Verdict;

/*
 * One claim, from the choice of its first job until it has its last one.  What a
 * rule reserves for the whole claim is here.
 */
typedef struct Admitting
{
	const char *worker_id;			 /* of an external worker; NULL: the claim has no limit of a worker */
	int			max_concurrent_jobs; /* of that worker; 0: no limit */
	int			n_admitted;			 /* jobs so far */
	int			n_permits;			 /* reserved, of which the first ones are those of the admitted jobs */
	int			permits[MAX_RESERVED];
} Admitting;

/* A job that was admitted, as far as the end of the run needs to know. */
typedef struct Admission
{
	int64  job_id;
	int64  epoch; /* 0 while no epoch is given to the claim */
	int32  route_id;
	uint64 worker_key; /* of an external worker, as NameKey() gives it; else 0 */
} Admission;

/* How an admission ends. */
typedef enum LeaveHow
{
	LEAVE_ENDED,	/* the run has ended, and that is committed */
	LEAVE_PREPARED, /* the end of the run is in a transaction that is prepared now */
	LEAVE_UNDONE	/* the claim is rolled back, or another rule refused the job */
} LeaveHow;

/* What is asked about: any of these may be NULL, which stands for any. */
typedef struct AdmissionQuestion
{
	const Claimant	 *claimant;
	const char		 *worker_id;		   /* of an external worker */
	int				  max_concurrent_jobs; /* of that worker */
	const TaskqRoute *route;
	const TaskqJob	 *job;
} AdmissionQuestion;

/*
 * A rule.  All members but the name may be NULL.  The caller of each but "leave" is
 * the extension's owner.
 *
 * A rule that has admitted a job is told of the end of that admission by exactly
 * one call of "leave": after the commit that ends the run, or after the abort of
 * the transaction or subtransaction that made the claim.  "leave" is called when the
 * locks of the transaction are free.
 *
 * If the run is ended by a transaction that is prepared, "leave" is called at PREPARE
 * TRANSACTION with LEAVE_PREPARED, because COMMIT PREPARED may come from any session
 * and after a restart.  The row is running and the locks of the transaction are held
 * until then.  ROLLBACK PREPARED lets the run go on, so that another call follows.
 * The rule therefore keeps the admission, and relies on the rows when it is asked
 * next; everybody who waits is woken when the prepared transaction ends.
 *
 * "leave" cannot fail: it allocates nothing, reports nothing and reads no catalogue.
 * A crash of the server ends all admissions without a call, as it empties shared
 * memory.
 */
typedef struct AdmissionRule
{
	const char *name;

	/* Before the choice: how many jobs, "most" at most, may the claim have?  What is reserved is returned by "end". */
	int (*begin)(Admitting *claim, int most);

	/* Before a job of the route is locked: may one of them start now? */
	bool (*admit_route)(int32 route_id);

	/* The job's row is locked: may it start now? */
	Verdict (*admit)(Admitting *claim, TaskqJob *job);

	/* See above.  The job is 0 if it is what "begin" has reserved that is free again. */
	void (*leave)(const Admission *admission, LeaveHow how);

	/* The claim has all jobs that it will have. */
	void (*end)(Admitting *claim);

	/* Why does what is asked about not start now?  NULL: the rule does not keep it. */
	const char *(*explain)(const AdmissionQuestion *question);
} AdmissionRule;

extern int		   AdmitBegin(Admitting *claim, const char *worker_id, int max_concurrent_jobs, int most);
extern bool		   AdmitRoute(int32 route_id);
extern Verdict	   Admit(Admitting *claim, TaskqJob *job);
extern void		   AdmitUndo(Admitting *claim, const TaskqJob *job);
extern void		   AdmitEnd(Admitting *claim);
extern void		   AdmitLeave(uint32 rules, const Admission *admission, LeaveHow how);
extern const char *AdmitExplain(const AdmissionQuestion *question);

#endif /* TASKQ_ADMIT_H */
