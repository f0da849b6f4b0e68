/*
 * admit_xact.c
 *	  The admissions that a transaction has made, and those that it has ended.
 *
 * A claim makes an admission.  It ends in one of these ways, and then the rules
 * that have admitted the job are told, once:
 *
 * - The transaction or subtransaction that has made it is rolled back, also
 *   because its process ends.
 * - The run has ended in the transaction that claimed the job, or its row was
 *   never written: the transaction's end is the admission's.
 * - The claim was stored as a running row and is committed.  The admission then
 *   outlives its transaction.  Another transaction ends the run, and the
 *   admission ends when that commits.  If that is prepared, the rules are told
 *   that at once, and nothing more when it is committed (admit.h).
 *
 * The callbacks cannot fail.  The array was grown when the entries were made.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/grow.h"
#include "job/admit_xact.h"
#include "shared/locks.h"
#include "shared/prepared.h"

#define KEPT_SIZE 1024 /* entries that are kept for the next transaction */

typedef struct Entry
{
	Admission admission;
	uint32	  rules;	  /* that have admitted the job */
	int		  level;	  /* of the subtransaction that has made the entry */
	int		  end_level;  /* of the subtransaction in which the run has ended; 0: it has not */
	bool	  is_earlier; /* a claim of an earlier transaction */
	bool	  is_stored;  /* the claim is a running row */
} Entry;

/* In the order of their levels: those of the subtransaction that ends are the last. */
static Entry *entries = NULL;
static int	  n_entries = 0;
static int	  max_entries = 0;
static int	  n_made = 0;	   /* of this transaction's own claims, those whose run has not ended */
static int	  deepest_end = 0; /* no end_level is greater */
static int	  first_ended = 0; /* no entry before this one has an end_level above 1 */

/* How the transaction has ended, from its end until the rules were told. */
static enum
{
	TRANSACTION_RUNS,
	TRANSACTION_COMMITTED,
	TRANSACTION_PREPARED,
	TRANSACTION_ABORTED
} ended = TRANSACTION_RUNS;

/* Of the subtransaction that is being rolled back; 0: none is. */
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

/* The admission of a job that this transaction has claimed and that has not ended; NULL: there is none. */
static Entry *
FindMade(int64 job_id)
{
	for (int i = n_entries - 1; i >= 0 && n_made > 0; i--)
		if (entries[i].admission.job_id == job_id && !entries[i].is_earlier && entries[i].end_level == 0)
			return &entries[i];
	return NULL;
}

/* A job is about to be admitted. */
void
AdmissionBegin(const Admission *admission)
{
	Assert(admission->job_id != 0);
	(void) AddEntry(admission);
	n_made++;
}

/* The last entry, which is the one of the job that is being admitted. */
static Entry *
Last(int64 job_id)
{
	Assert(n_entries > 0 && entries[n_entries - 1].admission.job_id == job_id && !entries[n_entries - 1].is_earlier);
	return &entries[n_entries - 1];
}

/* A rule has admitted it. */
void
AdmissionHeld(int64 job_id, uint32 rule)
{
	Last(job_id)->rules |= rule;
}

/* A rule has not: those that have are told at once. */
void
AdmissionRefused(int64 job_id)
{
	Entry entry = *Last(job_id);

	n_entries--;
	n_made--;
	AdmitLeave(entry.rules, &entry.admission, LEAVE_UNDONE);
}

/*
 * A claim has reserved something of a worker before it has a job.  If it fails, all
 * rules are told with a job of 0.
 */
void
AdmissionReserve(uint64 worker_key)
{
	Admission admission = { .worker_key = worker_key };

	AddEntry(&admission)->rules = ALL_RULES;
}

/* What it has not used is free again. */
void
AdmissionUnreserve(uint64 worker_key)
{
	int i = n_entries - 1;

	while (i >= 0 && (entries[i].admission.job_id != 0 || entries[i].admission.worker_key != worker_key))
		i--;
	Assert(i >= 0);
	memmove(&entries[i], &entries[i + 1], sizeof(Entry) * (n_entries - i - 1));
	n_entries--;
	first_ended = Min(first_ended, i);
}

/* The claim of an admitted job has its epoch now. */
void
AdmissionStamped(int64 job_id, int64 epoch)
{
	Last(job_id)->admission.epoch = epoch;
}

/* The claim is written as a running row, and so outlives its transaction. */
static void
Stored(int64 job_id)
{
	Entry *entry = FindMade(job_id);

	/* nothing starts a job without a claim */
	Assert(entry != NULL);
	entry->is_stored = true;
}

/*
 * The run of a job ends, if this commits.  If the claim is no stored running row
 * and was not made by this transaction, the admission has ended with the
 * transaction that made it, and the run is only recorded.
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

		if (transition->worker_id != NULL && transition->lease_expires_at != 0)
			admission.worker_key = NameKey(text_to_cstring((text *) transition->worker_id));
		entry = AddEntry(&admission);
		entry->rules = ALL_RULES;
		entry->is_earlier = entry->is_stored = true;
	}
	entry->end_level = GetCurrentTransactionNestLevel();
	first_ended = deepest_end > 1 ? Min(first_ended, (int) (entry - entries)) : (int) (entry - entries);
	deepest_end = Max(deepest_end, entry->end_level);
}

/* A run is stored or ends: an observer of transitions. */
void
AdmissionObserve(const Transition *transition)
{
	if (transition->from == JOB_RUNNING)
		Ends(transition);
	if (transition->job->state == JOB_RUNNING)
		Stored(transition->job->job_id);
}

/* ends --------------------------------------------------------------------- */

/* What was ended in the subtransaction that ends: it counts for its parent, or not at all. */
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

/* The claims of the subtransaction are undone; the runs that it has ended go on. */
static void
AtSubAbort(int level)
{
	while (n_entries > 0 && entries[n_entries - 1].level >= level)
	{
		Entry entry = entries[--n_entries];

		if (entry.is_earlier)
			continue;
		if (entry.end_level == 0 && entry.admission.job_id != 0)
			n_made--;
		AdmitLeave(entry.rules, &entry.admission, LEAVE_UNDONE);
	}
	MoveEnds(level, 0);
	first_ended = Min(first_ended, n_entries);
}

/*
 * Return whether the rules are to be told of an admission now that the transaction
 * has ended, and set *how.  A run that was claimed by a transaction that is prepared
 * now has ended whatever becomes of that; wake.c refuses to prepare a transaction
 * whose claims go on.
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
	if (n_entries == 0)
		return;
	if (event == XACT_EVENT_COMMIT)
		ended = TRANSACTION_COMMITTED;
	else if (event == XACT_EVENT_ABORT)
		ended = TRANSACTION_ABORTED;
	else if (event == XACT_EVENT_PREPARE)
	{
		/* who waits for what a run holds is woken when the prepared transaction ends */
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

/* The moment to tell the rules: the locks of the transaction are free. */
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

/* Registered once: each registration is kept for the life of the process. */
void
AdmissionInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
	RegisterResourceReleaseCallback(AfterLocks, NULL);
}
