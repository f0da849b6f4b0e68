/*
 * admit_xact.c
 *	  The admissions that a transaction has made, and those that it has ended.
 *
 * A claim makes an admission.  The admission ends in one of these ways, and then
 * the rules that have admitted the job are told once:
 *
 * - The transaction or subtransaction that made the claim is rolled back, also
 *   because its process ends.
 * - The run ends in the transaction that claimed the job, or the running row is
 *   never written.  The admission ends with that transaction.
 * - The claim was stored as a running row and is committed, so the admission
 *   outlives its transaction.  Another transaction ends the run, and the
 *   admission ends when that transaction commits.  If that transaction is prepared,
 *   the rules are told so at PREPARE, and nothing more when it commits (admit.h).
 *
 * The callbacks must not fail.  AddEntry() has allocated all memory that they use.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/grow.h"
#include "job/admit_xact.h"
#include "shared/holders.h"
#include "shared/locks.h"
#include "shared/permits.h"
#include "shared/prepared.h"
#include "shared/worker_name.h"

#define KEPT_SIZE 1024 /* entries that are kept for the next transaction */

typedef struct Entry
{
	Admission admission;
	uint32	  rules;	  /* rules that have admitted the job */
	int		  level;	  /* nesting level of the subtransaction that made the entry */
	int		  end_level;  /* nesting level in which the run has ended, or 0 if it has not */
	bool	  is_earlier; /* the claim was made by an earlier transaction */
	bool	  is_stored;  /* the claim is a running row */
	bool	  has_no_job; /* a rule has reserved something for a claim that has no job yet */
} Entry;

/* Entries in the order of their levels, so those of the ending subtransaction are last. */
static Entry *entries = NULL;
static int	  n_entries = 0;
static int	  max_entries = 0;
static int	  n_made = 0;	   /* number of this transaction's own claims whose run has not ended */
static int	  deepest_end = 0; /* no end_level is greater */
static int	  first_ended = 0; /* no entry before this one has an end_level above 1 */

/* How the transaction has ended; set until the rules are told. */
static enum
{
	TRANSACTION_RUNS,
	TRANSACTION_COMMITTED,
	TRANSACTION_PREPARED,
	TRANSACTION_ABORTED
} ended = TRANSACTION_RUNS;

/* Level of the subtransaction that is being rolled back, or 0. */
static int aborted_level = 0;

static Entry *
AddEntry(const Admission *admission)
{
	Entry *entry;

	entries = GrowArray(entries, sizeof(Entry), &max_entries, n_entries + 1);
	entry = &entries[n_entries++];
	memset(entry, 0, sizeof(Entry));
	entry->admission = *admission;
	entry->level = GetCurrentTransactionNestLevel();
	Assert(n_entries == 1 || entry[-1].level <= entry->level);
	return entry;
}

/*
 * Return the admission of a job that this transaction has claimed and whose run has
 * not ended, or NULL.
 */
static Entry *
FindMade(int64 job_id)
{
	for (int i = n_entries - 1; i >= 0 && n_made > 0; i--)
		if (entries[i].admission.job_id == job_id && !entries[i].is_earlier && !entries[i].has_no_job &&
			entries[i].end_level == 0)
			return &entries[i];
	return NULL;
}

/* Note that a job is about to be admitted. */
void
AdmissionBegin(const Admission *admission)
{
	HoldersClaimBegins();
	(void) AddEntry(admission);
	n_made++;
}

/* Return the last entry, which must be that of the job that is being admitted. */
static Entry *
Last(int64 job_id)
{
	Assert(n_entries > 0 && entries[n_entries - 1].admission.job_id == job_id && !entries[n_entries - 1].is_earlier);
	return &entries[n_entries - 1];
}

/* Note the epoch of the claim.  Returns the admission as it was before. */
Admission
AdmissionStamped(int64 job_id, int64 epoch)
{
	Entry	 *entry = Last(job_id);
	Admission before = entry->admission;

	entry->admission.epoch = epoch;
	return before;
}

/* Return the admission of the job that is being admitted.  It may be changed. */
Admission *
AdmissionLast(int64 job_id)
{
	return &Last(job_id)->admission;
}

/* Note that a rule has admitted the job. */
void
AdmissionHeld(int64 job_id, uint32 rule)
{
	Last(job_id)->rules |= rule;
}

/* A rule has refused the job.  Tell the rules that have admitted it. */
void
AdmissionRefused(int64 job_id)
{
	Entry entry = *Last(job_id);

	n_entries--;
	n_made--;
	AdmitLeave(entry.rules, &entry.admission, LEAVE_UNDONE);
}

/*
 * Note that a rule has reserved something for a claim that has no job yet.  If the
 * claim fails, the rule is told with a job_id of 0.
 */
void
AdmissionReserve(uint64 worker_key, uint32 rule)
{
	Admission admission = { .worker_key = worker_key };

	if (n_entries == 0 || !entries[n_entries - 1].has_no_job)
		AddEntry(&admission)->has_no_job = true;
	entries[n_entries - 1].rules |= rule;
}

/* Forget what AdmissionReserve() has noted, because the claim ends normally. */
void
AdmissionUnreserve(void)
{
	int i = n_entries - 1;

	while (i >= 0 && !entries[i].has_no_job)
		i--;
	Assert(i >= 0);
	memmove(&entries[i], &entries[i + 1], sizeof(Entry) * (n_entries - i - 1));
	n_entries--;
	first_ended = Min(first_ended, i);
}

/* Note that the claim is written as a running row, so it outlives its transaction. */
static void
Stored(int64 job_id)
{
	Entry *entry = FindMade(job_id);

	/* every start of a job is a claim */
	Assert(entry != NULL);
	entry->is_stored = true;
}

/*
 * Note that the run of a job ends if this transaction commits.  If this transaction
 * did not make the claim and the claim is not a stored running row, then the
 * admission has already ended with the transaction that made it, and this call only
 * records the run.
 */
static void
Ends(const Transition *transition)
{
	const TaskqJob *job = transition->job;
	Entry		   *entry = FindMade(job->job_id);

	if (entry == NULL && transition->waited)
		return;
	if (entry != NULL)
		n_made--;
	else
	{
		Admission admission = {
			.job_id = job->job_id,
			.epoch = job->epoch,
			.route_id = job->route_id,
		};

		if (transition->instance_id != NULL && transition->lease_expires_at != 0)
			admission.worker_key = WorkerKey(transition->worker_id, transition->instance_id);
		if (transition->permit > 0)
			admission.permit = (KnownPermit){ transition->permit, PermitUses(admission.worker_key, transition->permit) };
		entry = AddEntry(&admission);
		entry->rules = ALL_RULES;
		entry->is_earlier = entry->is_stored = true;
	}
	entry->end_level = GetCurrentTransactionNestLevel();
	first_ended = deepest_end > 1 ? Min(first_ended, (int) (entry - entries)) : (int) (entry - entries);
	deepest_end = Max(deepest_end, entry->end_level);
}

/* May this transaction have ended runs?  It may still be rolled back. */
bool
AdmissionsMayHaveEnded(void)
{
	return deepest_end > 0;
}

/* Observer of transitions: note runs that are stored or that end. */
void
AdmissionObserve(const Transition *transition)
{
	if (transition->from == JOB_RUNNING)
		Ends(transition);
	if (transition->job->state == JOB_RUNNING)
		Stored(transition->job->job_id);
}

/* A handler is called with a job that this transaction may have claimed. */
void
AdmitCalled(int64 job_id)
{
	Entry *entry = FindMade(job_id);

	if (entry != NULL && entry->admission.paid != NULL)
		entry->admission.paid->called = true;
}

/* ends --------------------------------------------------------------------- */

/*
 * At the end of a subtransaction, move the runs that it has ended to its parent,
 * or, with level 0, forget that they have ended.
 */
static void
MoveEnds(int level, int to)
{
	if (deepest_end < level)
		return;
	for (int i = first_ended; i < n_entries; i++)
	{
		Entry *entry = &entries[i];

		if (entry->end_level < level)
			continue;
		entry->end_level = to;
		if (to == 0 && !entry->is_earlier)
			n_made++;
	}
	deepest_end = level - 1;
}

static void
AtSubCommit(int level)
{
	for (int i = n_entries - 1; i >= 0 && entries[i].level >= level; i--)
		entries[i].level = level - 1;
	MoveEnds(level, level - 1);
}

/* Undo the claims of a subtransaction.  The runs that it has ended continue. */
static void
AtSubAbort(int level)
{
	while (n_entries > 0 && entries[n_entries - 1].level >= level)
	{
		Entry entry = entries[--n_entries];

		if (entry.is_earlier)
			continue;
		if (entry.end_level == 0 && !entry.has_no_job)
			n_made--;
		AdmitLeave(entry.rules, &entry.admission, LEAVE_UNDONE);
	}
	MoveEnds(level, 0);
	first_ended = Min(first_ended, n_entries);
}

/*
 * Return whether the rules are to be told of an admission now that the transaction
 * has ended, and set *how.  If the transaction is being prepared, the runs that it
 * has claimed have ended, whether it will be committed or not.  wake.c refuses to
 * prepare a transaction whose claims continue.
 */
static bool
MustTell(const Entry *entry, LeaveHow *how)
{
	switch (ended)
	{
		case TRANSACTION_COMMITTED:
			*how = LEAVE_ENDED;
			return entry->end_level != 0 || !entry->is_stored;
		case TRANSACTION_PREPARED:
			Assert(entry->end_level != 0 || !entry->is_stored);
			*how = entry->is_earlier ? LEAVE_PREPARED : LEAVE_ENDED;
			return true;
		case TRANSACTION_ABORTED:
			*how = LEAVE_UNDONE;
			return !entry->is_earlier;
		case TRANSACTION_RUNS:
			break;
	}
	return false;
}

static void
AtEnd(void)
{
	LeaveHow how;

	for (int i = 0; i < n_entries; i++)
		if (MustTell(&entries[i], &how))
			AdmitLeave(entries[i].rules, &entries[i].admission, how);
	HoldersClaimsEnd();
	ended = TRANSACTION_RUNS;
	n_entries = n_made = deepest_end = first_ended = 0;
	if (max_entries > KEPT_SIZE)
	{
		pfree(entries);
		entries = NULL;
		max_entries = 0;
	}
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if (n_entries == 0 && !HoldersClaimsOpen())
		return;
	if (event == XACT_EVENT_COMMIT)
		ended = TRANSACTION_COMMITTED;
	else if (event == XACT_EVENT_ABORT)
		ended = TRANSACTION_ABORTED;
	else if (event == XACT_EVENT_PREPARE)
	{
		/* processes that wait for what the run holds are woken when the transaction ends */
		PreparedNote();
		ended = TRANSACTION_PREPARED;
	}
}

static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (n_entries == 0)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		AtSubCommit(GetCurrentTransactionNestLevel());
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		aborted_level = GetCurrentTransactionNestLevel();
}

/* Tell the rules.  At this moment the locks of the transaction are released. */
static void
AfterLocks(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	int level = aborted_level;

	if (phase != RESOURCE_RELEASE_AFTER_LOCKS)
		return;
	aborted_level = 0;
	if (level > 0 && !is_commit && !is_top_level)
		AtSubAbort(level);
	if (ended != TRANSACTION_RUNS)
		AtEnd();
}

/*
 * Register the callbacks.  This must be called only once, because a registration
 * stays for the life of the process.
 */
void
AdmissionInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
	RegisterResourceReleaseCallback(AfterLocks, NULL);
}
