/*
 * blame.c
 *	  Which run crashed the server.
 *
 * When a process of PostgreSQL dies by a signal, all others are told to quit and
 * shared memory is made anew.  So that the guilty one is still known, each
 * worker notes what it runs in memory that the postmaster maps once and that
 * lives as long as it does; and a worker that is told to quit says so there.
 * Whoever ran a job and was not told has crashed, or did not hear in time: a
 * suspect.  A single one is certainly guilty.  A suspect is run again alone:
 * while one is waited for, no other job starts in the whole cluster.
 *
 * A stop of the server, however rough, and the death of the postmaster or of
 * the machine crash no handler: they take this memory along, and with it all
 * blame.  Only where a crash ends the postmaster because restart_after_crash is
 * off does it leave the suspects in a file for the next one.
 *
 * The suspects are guarded by TaskqShared.lock.  The postmaster reads this memory
 * after a process has gone wild, which may have written into it: it takes no
 * size from there, and no run that cannot have been one.
 */
#include "taskq.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/parallel.h"
#include "access/xlog.h"
#include "common/file_perm.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/ipc.h"

#include "base/clock.h"
#include "base/compat.h"
#include "shared/blame.h"
#include "shared/wake.h"

/* In the data directory. */
#define SUSPECTS_FILE "pg_taskq_suspects"
#define SUSPECTS_MAGIC 0x74715301

/* How long others wait for a suspect to start, and to end. */
#define START_PATIENCE (30 * USECS_PER_SEC)
#define RUN_PATIENCE (60 * USECS_PER_SEC)

/* What a process runs.  Written by it alone, read when it is dead. */
typedef struct BlameSlot
{
	volatile sig_atomic_t running;
	volatile sig_atomic_t told_to_quit;
	BlameRun			  run;
} BlameSlot;

typedef struct Blame
{
	pg_atomic_uint32 n_suspects;
	BlameSuspect	 suspects[MAX_SUSPECTS];	   /* in the order in which they are run */
	BlameSlot		 slots[FLEXIBLE_ARRAY_MEMBER]; /* by the process number */
} Blame;

typedef struct SuspectsFile
{
	uint32	  magic;
	uint32	  n_suspects;
	uint64	  system_identifier;
	pg_crc32c crc; /* of the suspects */
} SuspectsFile;

static Blame	 *blame = NULL;
static int		  n_slots = 0; /* there is room for */
static BlameSlot *my_slot = NULL;
static uint64	  system_identifier;

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

/* Can this be a run? */
static bool
IsRun(const BlameRun *run)
{
	return OidIsValid(run->dboid) && run->job_id > 0 && run->epoch > 0 &&
		   IsString(run->pool, sizeof(run->pool)) && IsString(run->worker_id, sizeof(run->worker_id));
}

/* Forget suspects that are none, which somebody has written over. */
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

/* Add a run to the suspects, or bring up to date that it is one. */
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

/* Did this process run a job, and was not told to quit? */
static bool
IsUnexplained(const BlameSlot *slot)
{
	return slot->running && !slot->told_to_quit && IsRun(&slot->run);
}

/* All processes have died: whose fault was it? */
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

/* Others wait for the suspects until then. */
static void
AwaitSuspects(TimestampTz until)
{
	for (int i = 0; i < CountSuspects(); i++)
	{
		blame->suspects[i].runner = 0;
		blame->suspects[i].until = until;
	}
}

/* from one postmaster to the next ------------------------------------------ */

/*
 * The postmaster exits.  With a code other than 0 it may do so because of a
 * crash.  Shared memory has gone by now.
 */
static void
SaveSuspects(int code, Datum arg)
{
	SuspectsFile header = { SUSPECTS_MAGIC };
	size_t		 size;
	int			 fd;
	bool		 written;

	if (code == 0)
		return;
	Judge(ClockNow());
	header.n_suspects = CountSuspects();
	if (header.n_suspects == 0)
		return;
	header.system_identifier = system_identifier;
	size = sizeof(BlameSuspect) * header.n_suspects;
	INIT_CRC32C(header.crc);
	COMP_CRC32C(header.crc, blame->suspects, size);
	FIN_CRC32C(header.crc);

	/* not made durable: who loses it to a power failure loses no more than blame */
	fd = open(SUSPECTS_FILE, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY, pg_file_create_mode);
	written = fd >= 0 && write(fd, &header, sizeof(header)) == sizeof(header) &&
			  write(fd, blame->suspects, size) == size;
	if (!written)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", SUSPECTS_FILE),
				 errdetail("taskq will not know which jobs may have crashed the server.")));
	if (fd >= 0)
		close(fd);
	if (!written)
		(void) unlink(SUSPECTS_FILE);
}

static bool
ReadSuspects(int fd)
{
	SuspectsFile header;
	pg_crc32c	 crc;
	size_t		 size;

	if (read(fd, &header, sizeof(header)) != sizeof(header) || header.magic != SUSPECTS_MAGIC ||
		header.n_suspects > MAX_SUSPECTS || header.system_identifier != system_identifier)
		return false;
	size = sizeof(BlameSuspect) * header.n_suspects;
	if (read(fd, blame->suspects, size) != size)
		return false;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, blame->suspects, size);
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, header.crc))
		return false;
	pg_atomic_write_u32(&blame->n_suspects, header.n_suspects);
	return true;
}

/* Take over what the last postmaster has left.  Nothing here keeps the server from starting. */
static void
LoadSuspects(void)
{
	int fd = open(SUSPECTS_FILE, O_RDONLY | PG_BINARY, 0);

	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", SUSPECTS_FILE)));
	else if (!ReadSuspects(fd))
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" is damaged or of another cluster, and is ignored", SUSPECTS_FILE),
				 errdetail("taskq does not know which jobs may have crashed the server.")));
	if (fd >= 0)
		close(fd);
	if (unlink(SUSPECTS_FILE) != 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", SUSPECTS_FILE)));
}

/*
 * Called when shared memory is made: when the postmaster starts, and again by
 * the same one after a crash.
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
		system_identifier = GetSystemIdentifier();
		LoadSuspects();
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

/* Recovery is over, and the suspects' time begins.  The caller has the lock. */
void
BlameRecoveryOver(void)
{
	if (blame != NULL)
		AwaitSuspects(ClockNow() + START_PATIENCE);
}

/* of a worker -------------------------------------------------------------- */

/*
 * SIGQUIT: another process has crashed, or the server stops at once.  A run
 * with parallel workers does not get off so easily: one of them may be it.
 */
static void
QuitWhenTold(SIGNAL_ARGS)
{
	if (my_slot != NULL && !ParallelContextActive())
		my_slot->told_to_quit = true;
	_exit(2);
}

/*
 * The last thing that is done on exit.  A handler that calls exit(), with
 * whatever code, has ended its worker: everything has been cleaned up by now,
 * and there is no need for the postmaster to take it for a crash.
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

/* From here on a crash of this process is the fault of what its slot shows. */
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

/* Take a suspect off the list; the next one's turn comes. */
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

/* The list has changed: all look again. */
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

/* The run is over without a crash. */
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
 * Must a worker wait for suspects?  Then job_id says which one it may run, if
 * it is in its database and nobody runs one; else it is 0.
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

/* This process has claimed a suspect, and runs it now. */
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

/* Is a job's crash still to be recorded?  Then it is not claimed. */
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

/* Copies of a database's suspects; there is room for MAX_SUSPECTS. */
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

/* Others need not wait for this one, unless it runs by now. */
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
 * Forget suspects of any database that have been waited for long enough, but for
 * those whose scheduler has not recorded them; when to look again.
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
/* As a process might that has gone wild. */
void
BlameScribble(void)
{
	memset(blame, 0x7f, offsetof(Blame, slots) + sizeof(BlameSlot) * n_slots);
}
#endif
