/*
 * blame.c
 *	  Finding the run that crashed the server.
 *
 * When a process of PostgreSQL dies by a signal, the postmaster tells all others
 * to quit and makes shared memory anew.  The memory here survives that: the
 * postmaster maps it once.  Each worker writes there which job it runs, and a
 * worker that is told to quit writes that, too.  After a crash, a worker that ran
 * a job and was not told to quit has crashed, or did not get the signal in time: it
 * is a suspect.  A single suspect is certainly guilty.  A suspect is run again
 * alone; until that has happened, no other job starts in the cluster.
 *
 * A stop of the server, the end of the postmaster and the end of the machine are
 * no handler's fault.  They end this memory, too.  Only with restart_after_crash =
 * off the postmaster leaves the suspects to the next one (suspects_file.c).
 *
 * TaskqShared.lock guards the suspects.  A process may have written anywhere
 * before it crashed, so the postmaster takes no size from this memory and ignores
 * runs that cannot be right.
 */
#include "taskq.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/parallel.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "base/clock.h"
#include "base/compat.h"
#include "shared/blame.h"
#include "shared/suspects_file.h"
#include "shared/wake.h"

/* How long other jobs wait for a suspect to start, and to end. */
#define START_PATIENCE (30 * USECS_PER_SEC)
#define RUN_PATIENCE (60 * USECS_PER_SEC)

/* What a process runs.  Only that process writes it, and it is read after its death. */
typedef struct BlameSlot
{
	volatile sig_atomic_t running;
	volatile sig_atomic_t told_to_quit;
	BlameRun			  run;
} BlameSlot;

typedef struct Blame
{
	pg_atomic_uint32 n_suspects;
	BlameSuspect	 suspects[MAX_SUSPECTS];	   /* in the order in which they run */
	BlameSlot		 slots[FLEXIBLE_ARRAY_MEMBER]; /* indexed by process number */
} Blame;

static Blame	 *blame = NULL;
static int		  n_slots = 0; /* number of slots; not read from the memory, which may be damaged */
static BlameSlot *my_slot = NULL;

static int
CountSuspects(void)
{
	uint32 n = pg_atomic_read_u32(&blame->n_suspects);

	return (int) Min(n, MAX_SUSPECTS);
}

/* judge -------------------------------------------------------------------- */

static bool
IsString(const char *string, Size size)
{
	return memchr(string, '\0', size) != NULL;
}

/* Are these the values of a run? */
static bool
IsRun(const BlameRun *run)
{
	return OidIsValid(run->dboid) && run->job_id > 0 && run->epoch > 0 &&
		   IsString(run->pool, sizeof(run->pool)) && IsString(run->worker_id, sizeof(run->worker_id));
}

/* Remove suspects that a process has overwritten. */
static void
DropDamaged(void)
{
	int kept = 0;

	if (pg_atomic_read_u32(&blame->n_suspects) <= MAX_SUSPECTS)
		for (int i = 0; i < CountSuspects(); i++)
			if (IsRun(&blame->suspects[i].run))
				blame->suspects[kept++] = blame->suspects[i];
	pg_atomic_write_u32(&blame->n_suspects, kept);
}

/* Add a run to the suspects, or renew the suspect of its job. */
static void
AddSuspect(const BlameRun *run, bool certain, TimestampTz now)
{
	int			  n = CountSuspects();
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

/* Did this process run a job without being told to quit? */
static bool
IsUnexplained(const BlameSlot *slot)
{
	return slot->running && !slot->told_to_quit && IsRun(&slot->run);
}

/* Find the suspects when all processes have died. */
static void
Judge(TimestampTz now)
{
	int unexplained = 0;

	DropDamaged();
	for (int i = 0; i < n_slots; i++)
		if (IsUnexplained(&blame->slots[i]))
			unexplained++;
	for (int i = 0; i < n_slots; i++)
		if (IsUnexplained(&blame->slots[i]))
			AddSuspect(&blame->slots[i].run, unexplained == 1, now);
	memset(blame->slots, 0, sizeof(BlameSlot) * n_slots);
}

/* Let other jobs wait for the suspects until this moment. */
static void
AwaitSuspects(TimestampTz until)
{
	for (int i = 0; i < CountSuspects(); i++)
	{
		blame->suspects[i].runner = 0;
		blame->suspects[i].until = until;
	}
}

/* Called when the postmaster exits. */
static void
SaveSuspects(int code, Datum arg)
{
	if (code == 0)
		return; /* not because of a crash */
	Judge(ClockNow());
	if (CountSuspects() > 0)
		SuspectsSave(blame->suspects, CountSuspects());
}

/*
 * Called when shared memory is made: when the postmaster starts, and again after
 * each crash.
 */
static void
BlameShmemStartup(void)
{
	int n_processes = ShmemCountSlots();

	if (blame == NULL)
	{
		void *memory = mmap(NULL, offsetof(Blame, slots) + sizeof(BlameSlot) * n_processes,
							PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
		{
			ereport(LOG,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("could not map memory for taskq: %m"),
					 errdetail("taskq will not know which jobs crash the server.")));
			return;
		}
		blame = memory;
		n_slots = n_processes;
		pg_atomic_init_u32(&blame->n_suspects, 0);
		pg_atomic_write_u32(&blame->n_suspects, SuspectsLoad(blame->suspects));
		on_proc_exit(SaveSuspects, (Datum) 0);
	}
	else
		Judge(ClockNow());
	AwaitSuspects(DT_NOEND);
}

void
BlameInit(void)
{
	ShmemRegister(NULL, BlameShmemStartup);
}

/* Recovery is over, so the suspects can start now.  The caller holds the lock. */
void
BlameRecoveryOver(void)
{
	if (blame != NULL)
		AwaitSuspects(ClockNow() + START_PATIENCE);
}

/* of a worker -------------------------------------------------------------- */

/*
 * SIGQUIT: another process has crashed, or the server stops immediately.  A run
 * with parallel workers stays a suspect, as one of them may have crashed.
 */
static void
QuitWhenTold(SIGNAL_ARGS)
{
	if (my_slot != NULL && !ParallelContextActive())
		my_slot->told_to_quit = true;
	_exit(2);
}

/*
 * Called last at exit.  If a handler has called exit(), everything has been cleaned
 * up by now, so the postmaster must not take the exit code for a crash.
 */
static void
ExitPlainly(int code, Datum arg)
{
	if (code == -1)
		_exit(1);
}

/* Called by a worker before anything that could crash. */
void
BlameAttach(void)
{
	on_proc_exit(ExitPlainly, (Datum) 0);
	if (blame == NULL)
		return;
	my_slot = &blame->slots[MyProcIndex_compat()];
	my_slot->running = my_slot->told_to_quit = false;
	pqsignal(SIGQUIT, QuitWhenTold);
}

/* A run begins: from now on a crash of this process is its fault. */
void
BlameBegin(const TaskqSlot *slot)
{
	BlameRun *run;

	if (my_slot == NULL)
		return;
	my_slot->running = false;
	run = &my_slot->run;
	run->dboid = MyDatabaseId;
	run->job_id = slot->job_id;
	run->epoch = slot->epoch;
	run->started_at = slot->job_started_at;
	strlcpy(run->pool, slot->pool, sizeof(run->pool));
	strlcpy(run->worker_id, slot->worker_id, sizeof(run->worker_id));
	pg_compiler_barrier();
	my_slot->running = true;
}

/* Remove a suspect.  The time of the others starts again. */
static void
RemoveSuspect(int i)
{
	int n = CountSuspects() - 1;

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

/* A run ends without a crash. */
void
BlameEnd(void)
{
	bool cleared = false;

	if (my_slot == NULL)
		return;
	my_slot->running = false;
	if (pg_atomic_read_u32(&blame->n_suspects) == 0)
		return;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = CountSuspects() - 1; i >= 0; i--)
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
	for (int i = 0; i < CountSuspects() && !pending; i++)
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
	for (int i = 0; i < CountSuspects(); i++)
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
	for (int i = 0; i < CountSuspects(); i++)
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
	for (int i = 0; i < CountSuspects(); i++)
		if (blame->suspects[i].run.dboid == dboid)
			suspects[n++] = blame->suspects[i];
	LWLockRelease(&taskq_shared->lock);
	return n;
}

static int
FindSuspect(const BlameSuspect *suspect)
{
	for (int i = 0; i < CountSuspects(); i++)
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
	for (int i = CountSuspects() - 1; i >= 0; i--)
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

#ifdef TASKQ_TESTING
/* For tests: overwrite the memory as a broken process might. */
void
BlameScribble(void)
{
	memset(blame, 0x7f, offsetof(Blame, slots) + sizeof(BlameSlot) * n_slots);
}
#endif
