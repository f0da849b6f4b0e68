/*
 * shmem.c
 *	  Shared memory: slots of processes, and entries of databases.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "shared/rates.h"
#include "shared/shmem.h"

TaskqShared		 *taskq_shared = NULL;
TaskqSlot		 *taskq_slots = NULL;
TaskqDatabase	 *taskq_databases = NULL;
TaskqTermination *taskq_terminations = NULL;
int				  taskq_tranche = 0;

/* The pieces of shared memory of other modules. */
#define MAX_PIECES 16

static struct
{
	ShmemSizeFunction  size;
	ShmemStartFunction start;
} pieces[MAX_PIECES];
static int n_pieces = 0;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

/* The number of slots: one for each process number. */
int
ShmemCountSlots(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

static void
RequestShmem(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(TaskqShared)));
	RequestAddinShmemSpace(mul_size(sizeof(TaskqSlot), ShmemCountSlots()));
	RequestAddinShmemSpace(mul_size(sizeof(TaskqDatabase), taskq_max_databases));
	RequestAddinShmemSpace(mul_size(sizeof(TaskqTermination), ShmemCountSlots()));
	for (int i = 0; i < n_pieces; i++)
		if (pieces[i].size != NULL)
			RequestAddinShmemSpace(pieces[i].size());
}

static void
InitSlots(void)
{
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		memset(&taskq_slots[i], 0, sizeof(TaskqSlot));
		pg_atomic_init_u32(&taskq_slots[i].waiting, NOT_WAITING);
		pg_atomic_init_u64(&taskq_slots[i].claims, 0);
		pg_atomic_init_u32(&taskq_slots[i].reads_events, 0);
		LWLockInitialize(&taskq_slots[i].lock, taskq_tranche);
	}
}

static void
InitDatabases(void)
{
	for (int i = 0; i < taskq_shared->n_databases; i++)
	{
		TaskqDatabase *db = &taskq_databases[i];

		memset(db, 0, sizeof(TaskqDatabase));
		pg_atomic_init_u32(&db->n_terminations, 0);
		pg_atomic_init_u32(&db->leaves_wanted, 0);
		pg_atomic_init_u32(&db->events_to_notify, 0);
		pg_atomic_init_u32(&db->signalled, 0);
		pg_atomic_init_u32(&db->may_grow, 1);
		for (int c = 0; c < N_COUNTERS; c++)
		{
			pg_atomic_init_u64(&db->counters[c].next, 0);
			pg_atomic_init_u64(&db->counters[c].ceiling, 0);
			pg_atomic_init_u32(&db->counters[c].sequence, InvalidOid);
		}
		pg_atomic_init_u64(&db->next_moment, 0);
		pg_atomic_init_u64(&db->next_lease, 0);
		pg_atomic_init_u32(&db->config_commits, 0);
		pg_atomic_init_u64(&db->cancels, 1);
		pg_atomic_init_u64(&db->cancels_none_at, 0);
		for (int m = 0; m < MAX_START_MARKS; m++)
			pg_atomic_init_u32(&db->start_marks[m], 0);
	}
}

static void
StartupShmem(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	taskq_shared = ShmemInitStruct("taskq", sizeof(TaskqShared), &found);
	if (!found)
	{
		memset(taskq_shared, 0, sizeof(TaskqShared));
		taskq_tranche = NewTranche_compat("taskq");
		LWLockInitialize(&taskq_shared->lock, taskq_tranche);
		pg_atomic_init_u32(&taskq_shared->n_waiting, 0);
		pg_atomic_init_u32(&taskq_shared->n_at_limit, 0);
		pg_atomic_init_u32(&taskq_shared->n_event_readers, 0);
		for (int i = 0; i < MAX_PROBES; i++)
			pg_atomic_init_u32(&taskq_shared->probe_answers[i], InvalidOid);
		pg_atomic_init_u64(&taskq_shared->slots_short_at, 0);
		taskq_shared->n_slots = ShmemCountSlots();
		taskq_shared->n_databases = taskq_max_databases;
	}
	taskq_tranche = taskq_shared->lock.tranche;
	taskq_slots = ShmemInitStruct("taskq slots", mul_size(sizeof(TaskqSlot), taskq_shared->n_slots), &found);
	if (!found)
		InitSlots();
	taskq_databases = ShmemInitStruct("taskq databases",
									  mul_size(sizeof(TaskqDatabase), taskq_shared->n_databases), &found);
	if (!found)
		InitDatabases();
	taskq_terminations = ShmemInitStruct("taskq terminations",
										 mul_size(sizeof(TaskqTermination), taskq_shared->n_slots), &found);
	if (!found)
		memset(taskq_terminations, 0, sizeof(TaskqTermination) * taskq_shared->n_slots);
	for (int i = 0; i < n_pieces; i++)
		pieces[i].start();
	LWLockRelease(AddinShmemInitLock);
	RegisterTranche_compat(taskq_tranche, "taskq");
}

/*
 * Register a piece of shared memory.  A module calls this while the library is
 * loaded.  "size" may be NULL.  "start" is called each time that shared memory is
 * made, when the slots are there.
 */
void
ShmemRegister(ShmemSizeFunction size, ShmemStartFunction start)
{
	Assert(n_pieces < MAX_PIECES);
	pieces[n_pieces].size = size;
	pieces[n_pieces].start = start;
	n_pieces++;
}

/* Called while the library is preloaded. */
void
ShmemInit(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = RequestShmem;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = StartupShmem;
}

bool
ShmemPresent(void)
{
	return taskq_shared != NULL;
}

/* Clear the slot for the next process with this number. */
static void
ReleaseSlot(int code, Datum arg)
{
	TaskqSlot *slot = &taskq_slots[MyProcIndex_compat()];
	uint32	   waiting = pg_atomic_exchange_u32(&slot->waiting, NOT_WAITING);

	RatesEndWatch();
	if (waiting != NOT_WAITING)
		pg_atomic_fetch_sub_u32(&taskq_shared->n_waiting, 1);

	/* it may have been woken for a job, which the scheduler must offer to others */
	if (waiting != NOT_WAITING && ShmemMyDatabase() != NULL)
		ShmemWakeScheduler(ShmemMyDatabase());
	if (slot->limit_key != 0)
		pg_atomic_fetch_sub_u32(&taskq_shared->n_at_limit, 1);
	slot->limit_key = 0;
	if (pg_atomic_exchange_u32(&slot->reads_events, 0) != 0)
		pg_atomic_fetch_sub_u32(&taskq_shared->n_event_readers, 1);
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->dboid = InvalidOid;
	slot->latch = NULL;
	slot->worker = false;
	slot->leave = false;
	slot->job_id = 0;
	slot->completed = slot->failed = 0;
	LWLockRelease(&slot->lock);
}

/* Return the slot of this process, or NULL without preload. */
TaskqSlot *
ShmemMySlot(void)
{
	static TaskqSlot *my_slot = NULL;
	TaskqSlot		 *slot;

	if (my_slot != NULL || !ShmemPresent())
		return my_slot;
	slot = &taskq_slots[MyProcIndex_compat()];
	before_shmem_exit(ReleaseSlot, (Datum) 0);
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->latch = &MyProc->procLatch;
	if (pg_atomic_read_u64(&slot->claims) % 2 == 1)
		(void) pg_atomic_fetch_add_u64(&slot->claims, 1);
	slot->pid = MyProcPid;
	slot->dboid = MyDatabaseId;
	LWLockRelease(&slot->lock);
	my_slot = slot;
	return my_slot;
}

/*
 * Find the entry of a database, or make it.  Returns NULL if there is none, or no
 * room for one.  This cannot fail, as commit callbacks call it.
 */
TaskqDatabase *
ShmemDatabase(Oid dboid, bool make)
{
	TaskqDatabase *db = NULL;
	TaskqDatabase *free = NULL;

	if (!ShmemPresent())
		return NULL;
	Assert(OidIsValid(dboid));
	Assert(!LWLockHeldByMe(&taskq_shared->lock));
	LWLockAcquire(&taskq_shared->lock, make ? LW_EXCLUSIVE : LW_SHARED);
	for (int i = 0; i < taskq_shared->n_databases && db == NULL; i++)
	{
		if (taskq_databases[i].dboid == dboid)
			db = &taskq_databases[i];
		else if (free == NULL && !OidIsValid(taskq_databases[i].dboid))
			free = &taskq_databases[i];
	}
	if (db == NULL && make && free != NULL)
	{
		db = free;
		db->dboid = dboid;
		db->scheduler_pid = 0;
		db->scheduler_failed = false;
		db->probe = false;
		db->blocked = 0;
		db->n_prepared = 0;
		db->prepared_known = false;
		db->scheduler_since = db->looked_at = db->idle_since = db->waits_since = 0;
		db->make_room = db->rests = false;
		db->slots_wanted = 0;
		db->n_shifts = 0;
		db->watched.at = 0;
		db->slot_taken_at = 0;
		db->helper_pid = 0;
		db->helper_latch = NULL;
		db->helper_starts = db->helper_lacks = false;
		db->helper_does = -1;
		db->helper_work = db->helper_done = db->helper_failed = 0;
		pg_atomic_write_u32(&db->may_grow, 1);
		memset(db->failed_pools, 0, sizeof(db->failed_pools));
		for (int c = 0; c < N_COUNTERS; c++)
			pg_atomic_write_u32(&db->counters[c].sequence, InvalidOid);
		pg_atomic_write_u32(&db->n_terminations, 0);
		pg_atomic_write_u64(&db->next_moment, 0);
		pg_atomic_write_u64(&db->next_lease, 0);
		pg_atomic_fetch_add_u64(&db->cancels, 1);
	}
	LWLockRelease(&taskq_shared->lock);
	return db;
}

/* Free the entry of a database that has no scheduler.  The caller holds TaskqShared.lock. */
void
ShmemForgetDatabase(TaskqDatabase *db)
{
	Assert(LWLockHeldByMeInMode(&taskq_shared->lock, LW_EXCLUSIVE));
	Assert(db->scheduler_pid == 0 && db->blocked == 0);
	for (int i = 0; i < taskq_shared->n_slots; i++)
		if (taskq_terminations[i].dboid == db->dboid)
			taskq_terminations[i].job_id = 0;
	db->dboid = InvalidOid;
}

TaskqDatabase *
ShmemMyDatabase(void)
{
	static TaskqDatabase *mine = NULL;

	if (mine == NULL || mine->dboid != MyDatabaseId)
		mine = ShmemDatabase(MyDatabaseId, false);
	return mine;
}

/*
 * Return the moment from which workers could extend their leases: the end of
 * recovery after the last start, crash restart or promotion.
 */
TimestampTz
ShmemUpSince(void)
{
	if (!ShmemPresent())
		return PgStartTime;
	return taskq_shared->up_since != 0 ? taskq_shared->up_since : ClockNow();
}

/*
 * Return whether a change of the configuration is being committed.  The barrier
 * makes sure that the caller reads the ring of changes (news.c) only after this.
 */
bool
ShmemConfigCommits(void)
{
	TaskqDatabase *db = ShmemMyDatabase();
	bool		   commits = db != NULL && pg_atomic_read_u32(&db->config_commits) != 0;

	pg_read_barrier();
	return commits;
}

/*
 * Wake the scheduler of a database.  If it rests, the launcher is told once to
 * start it.  The latch belongs to a process structure, so it may be set after the
 * process has exited.
 */
void
ShmemWakeScheduler(TaskqDatabase *db)
{
	bool   is_told = pg_atomic_exchange_u32(&db->signalled, 1) != 0;
	Latch *latch = db->scheduler_latch;

	if (latch != NULL)
		SetLatch(latch);
	else if (!is_told)
		ShmemWakeLauncher();
}

void
ShmemWakeLauncher(void)
{
	Latch *latch = ShmemPresent() ? taskq_shared->launcher_latch : NULL;

	if (latch != NULL)
		SetLatch(latch);
}
