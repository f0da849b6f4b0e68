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
 * If the server is stopped, or the postmaster or the machine fails, no handler is to
 * blame, and this memory is lost as well.  Only with restart_after_crash = off does
 * the postmaster leave the suspects to the next one (suspects_file.c).
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
#include "shared/blame_int.h"
#include "shared/suspects_file.h"

static int		  n_slots = 0; /* number of slots; not read from the memory, which may be damaged */
static BlameSlot *my_slot = NULL;

/* judge -------------------------------------------------------------------- */

/* Did this process run a job without being told to quit? */
static bool
IsUnexplained(const BlameSlot *slot)
{
	return slot->running && !slot->told_to_quit && SuspectsIsRun(&slot->run);
}

/* Find the suspects when all processes have died. */
static void
Judge(TimestampTz now)
{
	int unexplained = 0;

	SuspectsDropDamaged();
	for (int i = 0; i < n_slots; i++)
		if (IsUnexplained(&blame->slots[i]))
			unexplained++;
	for (int i = 0; i < n_slots; i++)
		if (IsUnexplained(&blame->slots[i]))
			SuspectsAdd(&blame->slots[i].run, unexplained == 1, now);
	memset(blame->slots, 0, sizeof(BlameSlot) * n_slots);
}

/* Called when the postmaster exits. */
static void
SaveSuspects(int code, Datum arg)
{
	if (code == 0)
		return; /* not because of a crash */
	Judge(ClockNow());
	if (SuspectsCount() > 0)
		SuspectsSave(blame->suspects, SuspectsCount());
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
	SuspectsAwait(DT_NOEND);
}

void
BlameInit(void)
{
	ShmemRegister(NULL, BlameShmemStartup);
}

/* Recovery is over, so the suspects can start now.  The caller holds TaskqShared.lock. */
void
BlameRecoveryOver(void)
{
	Assert(LWLockHeldByMeInMode(&taskq_shared->lock, LW_EXCLUSIVE));
	if (blame != NULL)
		SuspectsStart();
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

	Assert(slot == ShmemMySlot() && slot->job_id != 0 && slot->epoch != 0);
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

/* A run ends without a crash. */
void
BlameEnd(void)
{
	if (my_slot == NULL)
		return;
	my_slot->running = false;
	SuspectsClear();
}

#ifdef TASKQ_TESTING
/* For tests: overwrite the memory as a broken process might. */
void
BlameScribble(void)
{
	memset(blame, 0x7f, offsetof(Blame, slots) + sizeof(BlameSlot) * n_slots);
}
#endif
