/*
 * stats.c
 *	  Statistics of runs for each task type, in shared memory.
 *
 * A run is counted when the transaction that settles it commits.  The numbers are
 * kept over a restart of the server, but not over a crash (stats_file.c).
 */
#include "taskq.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/clock.h"
#include "base/grow.h"
#include "base/compat.h"
#include "base/guc.h"
#include "shared/shmem.h"
#include "shared/stats.h"
#include "shared/stats_file.h"

/* A run that this transaction has settled. */
typedef struct SettledRun
{
	StatsEntry *entry;
	uint32		generation; /* to notice that the entry was given to another type */
	int			level;		/* nesting level of the subtransaction that settled it */
	bool		completed;
	int64		duration;
	int64		waited;
} SettledRun;

static SettledRun *settled_runs = NULL;
static int		   n_settled_runs = 0;
static int		   max_settled_runs = 0;

static void
CountInto(const SettledRun *run, TimestampTz now)
{
	StatsEntry	 *entry = run->entry;
	StatsNumbers *numbers = &entry->numbers;

	SpinLockAcquire(&entry->mutex);
	if (entry->generation == run->generation)
	{
		if (run->completed)
			numbers->completed++;
		else
			numbers->failed++;
		numbers->total += run->duration;
		numbers->waited += run->waited;
		numbers->last_run_at = now;
		HistogramAdd(&numbers->runs, run->duration);
		HistogramAdd(&numbers->waits, run->waited);
	}
	SpinLockRelease(&entry->mutex);
}

/* Undo CountInto(), except for the extremes and last_run_at, whose earlier values are not known. */
static void
TakeBack(const SettledRun *run)
{
	StatsEntry	 *entry = run->entry;
	StatsNumbers *numbers = &entry->numbers;

	SpinLockAcquire(&entry->mutex);
	if (entry->generation == run->generation)
	{
		if (run->completed)
			numbers->completed = Max(numbers->completed - 1, 0);
		else
			numbers->failed = Max(numbers->failed - 1, 0);
		numbers->total = Max(numbers->total - run->duration, 0);
		numbers->waited = Max(numbers->waited - run->waited, 0);
		HistogramRemove(&numbers->runs, run->duration);
		HistogramRemove(&numbers->waits, run->waited);
	}
	SpinLockRelease(&entry->mutex);
}

/* Return a hash of a tenant, which is not 0, or 0 for none. */
static uint64
HashTenant(const char *tenant)
{
	if (tenant == NULL)
		return 0;
	return Max(hash_bytes_extended((const unsigned char *) tenant, strlen(tenant), 0), 1);
}

/*
 * Return whether a job of this tenant would be the last one that is needed, and all
 * jobs that were added so far belong to the same tenant.
 */
static bool
IsOfOneTenant(const StatsNumbers *numbers, uint64 tenant)
{
	if (tenant == 0 || numbers->setup_failures < SETUP_FAILURES - 1)
		return false;
	for (int i = 0; i < numbers->setup_failures; i++)
		if (numbers->setup_tenants[i] != tenant)
			return false;
	return true;
}

/*
 * Add a job that failed because of the state of the database.  Returns false if the
 * job is not added, because it was added before, or because all jobs would belong to
 * one tenant.  Otherwise one tenant could pause a task type for all others by its
 * payloads.
 */
static bool
AddSetupJob(StatsNumbers *numbers, int64 job_id, uint64 tenant)
{
	Assert(numbers->setup_failures < SETUP_FAILURES);
	for (int i = 0; i < numbers->setup_failures; i++)
		if (numbers->setup_jobs[i] == job_id)
			return false;
	if (IsOfOneTenant(numbers, tenant))
		return false;
	numbers->setup_tenants[numbers->setup_failures] = tenant;
	numbers->setup_jobs[numbers->setup_failures++] = job_id;
	return true;
}

/*
 * Count a job that has failed because of the state of the database.  Call this after
 * StatsCountRun().  "tenant" is the job's tenant, or NULL.  When SETUP_FAILURES
 * different jobs in a row have failed in this way, and not all belong to one tenant,
 * this returns true and begins to count anew.
 */
bool
StatsCountSetupFailure(const char *task_type, int64 job_id, const char *tenant)
{
	StatsEntry *entry;
	uint64		tenant_hash = HashTenant(tenant);
	bool		enough = false;

	if (!StatsPresent())
		return false;
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	entry = StatsFindEntry(task_type, false);
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->mutex);
		enough = AddSetupJob(&entry->numbers, job_id, tenant_hash) && entry->numbers.setup_failures == SETUP_FAILURES;
		if (enough)
			entry->numbers.setup_failures = 0;
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(&taskq_shared->lock);
	return enough;
}

/* Remember a run until the transaction ends. */
static void
KeepSettledRun(StatsEntry *entry, uint32 generation, bool completed, int64 duration, int64 waited)
{
	SettledRun *run;

	settled_runs = GrowArray(settled_runs, sizeof(SettledRun), &max_settled_runs, n_settled_runs + 1);
	run = &settled_runs[n_settled_runs++];
	run->entry = entry;
	run->generation = generation;
	run->level = GetCurrentTransactionNestLevel();
	run->completed = completed;
	run->duration = duration;
	run->waited = waited;
}

/* The entry of the last run that was counted, because the next run mostly has the same type. */
static struct
{
	char		task_type[TASKQ_NAME_MAX + 1];
	StatsEntry *entry; /* NULL if there is none, or no room for one */
	uint32		generation;
} last;

/* Set "last" to the entry of a type. */
static void
FindLast(const char *task_type)
{
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	last.entry = StatsFindEntry(task_type, false);
	if (last.entry == NULL)
	{
		LWLockRelease(&taskq_shared->lock);
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		last.entry = StatsFindEntry(task_type, true);
	}
	if (last.entry != NULL)
		last.generation = last.entry->generation;
	LWLockRelease(&taskq_shared->lock);
	strlcpy(last.task_type, task_type, sizeof(last.task_type));
}

/*
 * If the run has completed, begin to count anew the failures in the entry "last".
 * Returns false if the entry was given to another type.
 */
static bool
NoteRun(bool completed)
{
	bool is_of_type;

	SpinLockAcquire(&last.entry->mutex);
	is_of_type = last.entry->generation == last.generation;
	if (is_of_type && completed)
		last.entry->numbers.setup_failures = 0;
	SpinLockRelease(&last.entry->mutex);
	return is_of_type;
}

/*
 * Count a run when the transaction commits.  "duration" is how long it took, and
 * "waited" is how long its job had been due before, in microseconds.  Only the count
 * of failures in a row is changed at once, so that it is right for the next jobs of
 * the same transaction.
 */
void
StatsCountRun(const char *task_type, bool completed, int64 duration, int64 waited)
{
	if (!StatsPresent())
		return;
	if (last.entry == NULL || strcmp(last.task_type, task_type) != 0 || !NoteRun(completed))
	{
		FindLast(task_type);
		if (last.entry == NULL)
			return;
		(void) NoteRun(completed);
	}
	KeepSettledRun(last.entry, last.generation, completed, Max(duration, 0), Max(waited, 0));
}

/*
 * Count the settled runs just before the commit, so that a job is counted when
 * others see it completed.  If the commit fails after that, the counts are taken
 * back.  This allocates no memory and cannot fail.
 */
static void
CountSettledRuns(XactEvent event, void *arg)
{
	static bool counted = false;
	TimestampTz now;

	if (n_settled_runs == 0)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		now = ClockNow();
		for (int i = 0; i < n_settled_runs; i++)
			CountInto(&settled_runs[i], now);
		counted = true;
		return;
	}
	for (int i = 0; i < n_settled_runs && counted && event == XACT_EVENT_ABORT; i++)
		TakeBack(&settled_runs[i]);
	counted = false;
	n_settled_runs = 0;
}

static void
FollowSubtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	/* The last runs are those of the innermost subtransaction. */
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = n_settled_runs; i > 0 && settled_runs[i - 1].level >= level; i--)
			settled_runs[i - 1].level = level - 1;
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		while (n_settled_runs > 0 && settled_runs[n_settled_runs - 1].level >= level)
			n_settled_runs--;
}

/* Called once in a process, as callbacks stay registered. */
void
StatsInit(void)
{
	StatsTableInit();
	RegisterXactCallback(CountSettledRuns, NULL);
	RegisterSubXactCallback(FollowSubtransaction, NULL);
}
