/*
 * admit.c
 *	  Admission: the rules that may prevent a chosen job from starting.
 *
 * Every claim calls Admit() between choice and stamp.  admit_xact.c keeps the
 * admissions that a transaction has made and ended, and tells the rules when an
 * admission ends.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "job/admit.h"
#include "job/admit_rules.h"
#include "job/admit_xact.h"
#include "shared/locks.h"

/*
 * The rules, in the order in which they are asked.  Rules that take something come
 * after rules that only look.
 */
static const AdmissionRule *const rules[] = {
	&admit_running,
	&admit_suspect,
	&admit_alone,
	&admit_cancelled,
	&admit_trial,
	&admit_permit,
	&admit_limit,
	&admit_order,
	&admit_budget,
	&admit_rate,
	&admit_turn,
#ifdef TASKQ_TESTING
	&admit_testing,
#endif
};

StaticAssertDecl(lengthof(rules) <= MAX_ADMISSION_RULES, "a set of rules is a uint32");

#define RULE(i) (UINT32_C(1) << (i)) /* the set of this rule alone */

/*
 * Begin a claim of up to "most" jobs.  Returns how many it may have.  "worker" is the
 * name of an external worker, or NULL.  job_id is the only job that the claim is for,
 * or 0.
 */
int
AdmitBegin(Admitting *claim, const Claimant *claimant, const WorkerName *worker, int64 job_id, int most)
{
	memset(claim, 0, sizeof(*claim));
	claim->claimant = claimant;
	claim->worker = worker;
	claim->job_id = job_id;
	for (int i = 0; i < lengthof(rules) && most > 0; i++)
	{
		if (rules[i]->begin == NULL)
			continue;
		most = rules[i]->begin(claim, &claim->reserved[i], most);
		Assert(most > 0 || claim->limit_key != 0);
		if (claim->reserved[i] != NULL)
		{
			AdmissionReserve(worker != NULL ? worker->key : 0, RULE(i));
			claim->has_reserved = true;
		}
	}
	return most;
}

/*
 * How many jobs of this route may run, with those that run now, whoever claims them?
 * Returns 0 if no other may start now.
 */
int
AdmitMost(int32 route_id)
{
	int most = PG_INT32_MAX;

	for (int i = 0; i < lengthof(rules) && most > 0; i++)
		if (rules[i]->may_run != NULL)
			most = Min(most, rules[i]->may_run(route_id));
	return most;
}

/* If only time keeps the next job of the route from starting, return when it may.  Else return DT_NOEND. */
TimestampTz
AdmitNext(int32 route_id)
{
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < lengthof(rules); i++)
		if (rules[i]->next != NULL)
			next = Min(next, rules[i]->next(route_id));
	return next;
}

/* May the job with this row start now, or with NULL, a job of the route?  Called before a job is locked. */
bool
AdmitRoute(int32 route_id, TupleTableSlot *row)
{
	for (int i = 0; i < lengthof(rules); i++)
		if (rules[i]->admit_route != NULL && !rules[i]->admit_route(route_id, row))
			return false;
	return true;
}

/* Return a number for an admission that has no epoch yet.  No other one has it. */
static int64
ProvisionalEpoch(void)
{
	static uint32 number = 0;

	return -(((int64) MyProcPid << 32) | ++number);
}

/*
 * Take what a job of this route needs, before its row is locked.  "row" is the row as it
 * was read.  Returns false if a rule does not have it.  Otherwise the caller calls AdmitDrop() or Admit().
 */
bool
AdmitHold(Admitting *claim, int32 route_id, int64 job_id, TupleTableSlot *row)
{
	Admission admission = {
		.job_id = job_id,
		.epoch = ProvisionalEpoch(),
		.route_id = route_id,
		.worker_key = claim->worker != NULL ? claim->worker->key : 0,
	};

	claim->epoch = admission.epoch;
	claim->waits_for_value = claim->is_behind = false;
	AdmissionBegin(&admission);
	for (int i = 0; i < lengthof(rules); i++)
	{
		bool waits = claim->waits_for_value;

		if (rules[i]->hold == NULL)
			continue;
		claim->waits_for_value = false; /* only the rule that refuses says whether a value is the reason */
		if (!rules[i]->hold(claim, route_id, job_id, row))
		{
			AdmitDrop(job_id);
			return false;
		}
		claim->waits_for_value |= waits;
		AdmissionHeld(job_id, RULE(i));
	}
	return true;
}

/* The row of the job could not be locked. */
void
AdmitDrop(int64 job_id)
{
	AdmissionRefused(job_id);
}

/* Give the claim of the job that is being admitted an epoch, or a later one. */
void
AdmitStamp(Admitting *claim, const TaskqJob *job, int64 epoch)
{
	Admission before = AdmissionStamped(job->job_id, epoch);

	for (int i = 0; i < lengthof(rules); i++)
		if (rules[i]->stamp != NULL)
			rules[i]->stamp(claim, &before, epoch);
	claim->epoch = epoch;
}

/*
 * May this job start, under a claim with this epoch?  Its row is locked.  If a rule refuses
 * the job or raises an error, the rules that have admitted it are told.
 */
Verdict
Admit(Admitting *claim, TaskqJob *job, int64 epoch)
{
	AdmitStamp(claim, job, epoch);
	for (int i = 0; i < lengthof(rules); i++)
	{
		Verdict verdict;

		if (rules[i]->admit == NULL)
			continue;
		verdict = rules[i]->admit(claim, claim->reserved[i], job);
		if (verdict != ADMIT_YES)
		{
			AdmissionRefused(job->job_id);
			return verdict;
		}
		if (rules[i]->leave != NULL)
			AdmissionHeld(job->job_id, RULE(i));
	}
	claim->n_admitted++;
	return ADMIT_YES;
}

/* The job that was admitted last has the time of its start. */
void
AdmitStarted(const TaskqJob *job)
{
	const Admission *admission = AdmissionLast(job->job_id);

	for (int i = 0; i < lengthof(rules); i++)
		if (rules[i]->started != NULL)
			rules[i]->started(admission);
}

/* Does the job that was admitted last still hold what it needs, after a change of the configuration? */
bool
AdmitStillHolds(const Admitting *claim, const TaskqJob *job)
{
	for (int i = 0; i < lengthof(rules); i++)
		if (rules[i]->still_holds != NULL && !rules[i]->still_holds(claim, job))
			return false;
	return true;
}

/* Undo the last admission, because its job is not claimed after all. */
void
AdmitUndo(Admitting *claim, const TaskqJob *job)
{
	claim->n_admitted--;
	AdmissionRefused(job->job_id);
}

/* End a claim, which takes no more jobs. */
void
AdmitEnd(Admitting *claim)
{
	if (!claim->has_reserved)
		return;
	AdmissionUnreserve();
	for (int i = 0; i < lengthof(rules); i++)
		if (claim->reserved[i] != NULL && rules[i]->end != NULL)
			rules[i]->end(claim, claim->reserved[i]);
}

/* Tell these rules that an admission has ended.  Cannot fail. */
void
AdmitLeave(uint32 which, const Admission *admission, LeaveHow how)
{
	for (int i = lengthof(rules) - 1; i >= 0; i--)
		if ((which & RULE(i)) != 0 && rules[i]->leave != NULL)
			rules[i]->leave(admission, how);
}

/*
 * Does this rule, or one of those after it, prevent a start?  If so, returns in *refusal what
 * the first such rule says, and the number of the rule after it.  Otherwise returns 0, and
 * refusal->reason_code is REASON_NONE and refusal->reason NULL.
 */
int
AdmitExplainFrom(int first, const AdmissionQuestion *question, Refusal *refusal)
{
	memset(refusal, 0, sizeof(*refusal));
	for (int i = first; i < lengthof(rules); i++)
	{
		if (rules[i]->explain == NULL || !rules[i]->explain(question, refusal))
			continue;
		Assert(refusal->reason_code != REASON_NONE);
		if (refusal->reason == NULL)
			refusal->reason = ReasonText(refusal->reason_code);
		if (refusal->problem == NULL)
		{
			refusal->sqlstate = ERRCODE_LOCK_NOT_AVAILABLE;
			refusal->problem = "cannot be run now";
			refusal->detail = psprintf("The reason: %s.", refusal->reason);
		}
		return i + 1;
	}
	return 0;
}

/* Does a rule prevent a start?  The first one is told, as by AdmitExplainFrom(). */
bool
AdmitExplain(const AdmissionQuestion *question, Refusal *refusal)
{
	return AdmitExplainFrom(0, question, refusal) != 0;
}
