/*
 * suspects.c
 *	  The runs that may have crashed the server, and how other jobs wait for them.
 *
 * TaskqShared.lock guards the list.  blame.c makes it, after a crash.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "shared/blame_int.h"
#include "shared/shmem.h"
#include "shared/wake.h"

/* How long other jobs wait for a suspect to start, and to end. */
#define START_PATIENCE (30 * USECS_PER_SEC)
#define RUN_PATIENCE (60 * USECS_PER_SEC)

Blame *blame = NULL;

/* the list ----------------------------------------------------------------- */

int
SuspectsCount(void)
{
	uint32 n = pg_atomic_read_u32(&blame->n_suspects);

	return (int) Min(n, MAX_SUSPECTS);
}

static bool
IsString(const char *string, Size size)
{
	return memchr(string, '\0', size) != NULL;
}

/* Are these the values of a run? */
bool
SuspectsIsRun(const BlameRun *run)
{
	return OidIsValid(run->dboid) && run->job_id > 0 && run->epoch > 0 &&
		   IsString(run->pool, sizeof(run->pool)) && IsString(run->worker_id, sizeof(run->worker_id));
}

/* Remove suspects that a process has overwritten. */
void
SuspectsDropDamaged(void)
{
	int kept = 0;

	if (pg_atomic_read_u32(&blame->n_suspects) <= MAX_SUSPECTS)
		for (int i = 0; i < SuspectsCount(); i++)
			if (SuspectsIsRun(&blame->suspects[i].run))
				blame->suspects[kept++] = blame->suspects[i];
	pg_atomic_write_u32(&blame->n_suspects, kept);
}

/* Add a run to the suspects, or renew the suspect of its job. */
void
SuspectsAdd(const BlameRun *run, bool certain, TimestampTz now)
{
	int			  n = SuspectsCount();
	BlameSuspect *suspect = NULL;

	for (int i = 0; i < n && suspect == NULL; i++)
		if (blame->suspects[i].run.dboid == run->dboid && blame->suspects[i].run.job_id == run->job_id)
			suspect = &blame->suspects[i];
	if (suspect == NULL)
	{
		if (n == MAX_SUSPECTS)
			return;
		suspect = &blame->suspects[n];
		pg_atomic_write_u32(&blame->n_suspects, n + 1);
	}
	memset(suspect, 0, sizeof(*suspect));
	suspect->run = *run;
	suspect->certain = certain;
	suspect->crashed_at = now;
}

/* Let other jobs wait for the suspects until this moment. */
void
SuspectsAwait(TimestampTz until)
{
	for (int i = 0; i < SuspectsCount(); i++)
	{
		blame->suspects[i].runner = 0;
		blame->suspects[i].until = until;
	}
}

/* The suspects can start now, and other jobs wait for that. */
void
SuspectsStart(void)
{
	SuspectsAwait(ClockNow() + START_PATIENCE);
}

/* Remove a suspect.  The time of the others starts again.  The caller holds TaskqShared.lock. */
static void
RemoveSuspect(int i)
{
	int n = SuspectsCount() - 1;

	Assert(LWLockHeldByMeInMode(&taskq_shared->lock, LW_EXCLUSIVE));
	Assert(i >= 0 && i <= n);
	memmove(&blame->suspects[i], &blame->suspects[i + 1], sizeof(BlameSuspect) * (n - i));
	pg_atomic_write_u32(&blame->n_suspects, n);
	for (i = 0; i < n; i++)
		if (blame->suspects[i].runner == 0 && blame->suspects[i].until != 0)
			blame->suspects[i].until = ClockNow() + START_PATIENCE;
}

/* Wake everybody after the list of suspects has changed. */
static void
WakeEverybody(void)
{
	for (int i = 0; i < taskq_shared->n_databases; i++)
		if (OidIsValid(taskq_databases[i].dboid))
		{
			WakeAllWaiters(taskq_databases[i].dboid);
			ShmemWakeScheduler(&taskq_databases[i]);
		}
}

/* of a worker -------------------------------------------------------------- */

/* Remove the suspect that this process has run, because its run has ended without a crash. */
void
SuspectsClear(void)
{
	bool cleared = false;

	if (pg_atomic_read_u32(&blame->n_suspects) == 0)
		return;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = SuspectsCount() - 1; i >= 0; i--)
		if (blame->suspects[i].runner == MyProcPid)
		{
			RemoveSuspect(i);
			cleared = true;
		}
	LWLockRelease(&taskq_shared->lock);
	if (cleared)
		WakeEverybody();
}

/*
 * Must other jobs wait for suspects?  job_id is set to the suspect that this
 * process may run, or to 0 if there is none in its database or one is running.
 */
bool
BlamePending(int64 *job_id)
{
	TimestampTz now;
	bool		pending = false;

	*job_id = 0;
	if (blame == NULL || pg_atomic_read_u32(&blame->n_suspects) == 0)
		return false;
	now = ClockNow();
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	for (int i = 0; i < SuspectsCount() && !pending; i++)
	{
		BlameSuspect *suspect = &blame->suspects[i];

		if (suspect->until <= now)
			continue;
		pending = true;
		if (suspect->run.dboid == MyDatabaseId && suspect->recorded && suspect->runner == 0)
			*job_id = suspect->run.job_id;
	}
	LWLockRelease(&taskq_shared->lock);
	return pending;
}

/* Note that this process runs a suspect. */
void
BlameAlone(int64 job_id)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SuspectsCount(); i++)
	{
		BlameSuspect *suspect = &blame->suspects[i];

		if (suspect->run.dboid == MyDatabaseId && suspect->run.job_id == job_id)
		{
			suspect->runner = MyProcPid;
			suspect->until = ClockNow() + RUN_PATIENCE;
		}
	}
	LWLockRelease(&taskq_shared->lock);
}

/* Must a job not be claimed, because its crash has not been recorded yet? */
bool
BlameHolds(int64 job_id)
{
	bool held = false;

	if (blame == NULL || pg_atomic_read_u32(&blame->n_suspects) == 0)
		return false;
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	for (int i = 0; i < SuspectsCount(); i++)
		if (blame->suspects[i].run.dboid == MyDatabaseId && blame->suspects[i].run.job_id == job_id &&
			!blame->suspects[i].recorded)
			held = true;
	LWLockRelease(&taskq_shared->lock);
	return held;
}

/* of the schedulers -------------------------------------------------------- */

/* Copy the suspects of a database; there is room for MAX_SUSPECTS. */
int
BlameList(Oid dboid, BlameSuspect *suspects)
{
	int n = 0;

	if (blame == NULL || pg_atomic_read_u32(&blame->n_suspects) == 0)
		return 0;
	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	for (int i = 0; i < SuspectsCount(); i++)
		if (blame->suspects[i].run.dboid == dboid)
			suspects[n++] = blame->suspects[i];
	LWLockRelease(&taskq_shared->lock);
	return n;
}

/* Return the index of a suspect, or -1.  The caller holds TaskqShared.lock. */
static int
FindSuspect(const BlameSuspect *suspect)
{
	Assert(LWLockHeldByMe(&taskq_shared->lock));
	for (int i = 0; i < SuspectsCount(); i++)
		if (blame->suspects[i].run.dboid == suspect->run.dboid &&
			blame->suspects[i].run.job_id == suspect->run.job_id)
			return i;
	return -1;
}

void
BlameSetRecorded(const BlameSuspect *suspect)
{
	int i;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	i = FindSuspect(suspect);
	if (i >= 0)
		blame->suspects[i].recorded = true;
	LWLockRelease(&taskq_shared->lock);
	WakeEverybody();
}

/* Remove a suspect that does not run. */
void
BlameForget(const BlameSuspect *suspect)
{
	int i;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	i = FindSuspect(suspect);
	if (i >= 0 && blame->suspects[i].runner == 0)
		RemoveSuspect(i);
	LWLockRelease(&taskq_shared->lock);
	WakeEverybody();
}

/*
 * Stop waiting for suspects whose time is over, and remove those that have been
 * recorded.  Returns the moment at which to look again.
 */
TimestampTz
BlameForgetOverdue(void)
{
	TimestampTz next = DT_NOEND;
	TimestampTz now;
	bool		changed = false;

	if (blame == NULL || pg_atomic_read_u32(&blame->n_suspects) == 0)
		return DT_NOEND;
	now = ClockNow();
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = SuspectsCount() - 1; i >= 0; i--)
		if (blame->suspects[i].until <= now)
		{
			changed |= blame->suspects[i].until != 0;
			blame->suspects[i].until = 0;
			if (blame->suspects[i].recorded)
				RemoveSuspect(i);
		}
		else
			next = Min(next, blame->suspects[i].until);
	LWLockRelease(&taskq_shared->lock);
	if (changed)
		WakeEverybody();
	return next;
}
