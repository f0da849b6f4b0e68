/*
 * shmem.h
 *	  Shared memory: slots of processes, and entries of databases.
 *
 * Each process of the server has a slot, which its process number indexes, so
 * slots need not be searched for or allocated.  Each database that has taskq has
 * an entry.  Without preload there is no shared memory, and every pointer below is
 * NULL; the code that uses one says so or works without it.
 *
 * Lock order: TaskqShared.lock, then one slot's lock.  Code that holds one of them
 * calls nothing that can fail or wait.
 */
#ifndef TASKQ_SHMEM_H
#define TASKQ_SHMEM_H

#include "taskq.h"

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* The id of a background worker consists of its pool and its process id. */
#define WORKER_ID_SIZE (TASKQ_NAME_MAX + 1 + 16)

/* TaskqSlot.waiting */
#define NOT_WAITING 0
#define WAITING 1
#define WOKEN 2 /* it was woken and has not looked yet */

typedef struct TaskqSlot
{
	/*
	 * Waiting for jobs.  The owner says for which routes (interest.c), and then sets
	 * "waiting".  A commit changes WAITING to WOKEN and sets the latch.  There is no
	 * lock: a commit that does not find the owner's routes yet happens before the
	 * owner's next look, which finds the job.
	 */
	pg_atomic_uint32 waiting;
	uint64			 worker_key; /* the external worker for which it claims, or 0 */
	uint64			 limit_key;	 /* the limit that it waits for instead of jobs, or 0 */

	pg_atomic_uint64 claims; /* number of times that a transaction with claims began or ended: odd while one is open */

	pg_atomic_uint32 reads_events; /* it waits for events; who wakes it clears this */

	/* Set once by the owner. */
	Oid	   dboid; /* InvalidOid if the slot is not in use */
	Latch *latch;
	int	   pid;

	/* Background workers only; guarded by lock. */
	LWLock		lock;
	bool		worker;
	bool		leave;		/* it was asked to finish its job and exit */
	int			start_mark; /* index in start_marks of the start that made it */
	char		pool[TASKQ_NAME_MAX + 1];
	Oid			role; /* the role of the pool */
	char		worker_id[WORKER_ID_SIZE];
	TimestampTz started_at;
	uint64		completed;
	uint64		failed;

	/* The job that it runs; job_id is 0 if there is none.  Guarded by lock. */
	int64		job_id;
	int64		epoch;
	int32		attempt;
	char		task_type[TASKQ_NAME_MAX + 1];
	TimestampTz job_started_at;
	bool		interruptible;	/* its handler runs, so it may be interrupted */
	int64		cancel_epoch;	/* epoch of the claim whose cancel was requested */
	TimestampTz cancelled_at;	/* time of that request */
	TimestampTz interrupted_at; /* time of the last interrupt for that request */
	TimestampTz deadline;		/* end of its timeout; 0 if it has none */
	bool		timed_out;		/* its worker ends itself, because the handler went on after the timeout */
	bool		stuck;			/* its worker does not check for interrupts */
} TaskqSlot;

/*
 * A run that was terminated, which the scheduler must record.  There are as many
 * entries as processes, because a worker starts only after the terminations of
 * earlier ones have been recorded.
 */
typedef struct TaskqTermination
{
	Oid			dboid;
	int64		job_id; /* 0 if the entry is free */
	int64		epoch;
	TimestampTz started_at;
	bool		timed_out; /* its worker ended itself after the timeout */
	char		worker_id[WORKER_ID_SIZE];
} TaskqTermination;

#define MAX_START_MARKS 256
#define MAX_FAILED_POOLS 16
#define MAX_PREPARED 256
#define MAX_PROBES 64 /* at one time */

/* Time that was lost, by which the ends of earlier leases move (watch.c). */
typedef struct TaskqShift
{
	TransactionId xid_before; /* the next transaction id before the pause */
	TransactionId xid;		  /* the next transaction id when the pause was noted */
	TimestampTz	  from;		  /* the last moment before the pause */
	TimestampTz	  at;		  /* when the pause was noted */
	int64		  by;		  /* in microseconds; negative if the clock was set back */
} TaskqShift;

/* What a process saw when it looked at the clocks. */
typedef struct TaskqClockLook
{
	TimestampTz	  at;	  /* the server's clock */
	int64		  steady; /* the monotonic clock, in microseconds */
	TransactionId xid;	  /* the next transaction id */
} TaskqClockLook;

#define MAX_SHIFTS 16

/* Numbers that are given out once (store/counter.c). */
typedef enum CounterKind
{
	COUNTER_JOB_ID,
	COUNTER_EPOCH,
	COUNTER_EVENT
} CounterKind;

#define N_COUNTERS 3

typedef struct TaskqCounter
{
	pg_atomic_uint64 next;
	pg_atomic_uint64 ceiling;  /* the last number that may be given out */
	pg_atomic_uint32 sequence; /* OID of the sequence whose numbers these are; 0 if there are none */
} TaskqCounter;

typedef struct TaskqDatabase
{
	/* Guarded by TaskqShared.lock. */
	Oid			  dboid;		 /* InvalidOid if the entry is free */
	int			  scheduler_pid; /* 0 if none runs */
	Latch		 *scheduler_latch;
	bool		  scheduler_failed;		  /* the last scheduler has failed */
	bool		  probe;				  /* the launcher must look at the database */
	int			  blocked;				  /* number of statements under way that need the database free of taskq's processes */
	TimestampTz	  scheduler_since;		  /* when the scheduler was started */
	TimestampTz	  looked_at;			  /* when the scheduler looked last; 0 if it has not since the server started */
	TimestampTz	  idle_since;			  /* since when the scheduler has had no work; 0 if it has work */
	TimestampTz	  waits_since;			  /* since when the scheduler lacks a slot; 0 if it does not */
	bool		  make_room;			  /* the scheduler was asked to exit */
	bool		  rests;				  /* the scheduler has exited for that reason, and rests */
	int			  slots_wanted;			  /* number of workers that could not be started */
	TimestampTz	  slots_wanted_at;		  /* time when slots_wanted was set */
	TimestampTz	  slot_taken_at;		  /* time of the last start of a worker */
	TransactionId prepared[MAX_PREPARED]; /* prepared transactions whose end matters (prepared.c) */
	int			  n_prepared;
	bool		  prepared_known;									  /* the list is complete */
	char		  failed_pools[MAX_FAILED_POOLS][TASKQ_NAME_MAX + 1]; /* pools whose last worker has failed */

	/* The helper (helper.c).  Guarded by TaskqShared.lock.  A set of work has a bit for each piece. */
	int	   helper_pid; /* 0 if none runs */
	Latch *helper_latch;
	bool   helper_starts; /* a helper was started, and is not up yet */
	bool   helper_lacks;  /* there is no slot for a helper, so the scheduler does its work */
	int	   helper_does;	  /* the work whose batch it does now; -1 if none */
	uint32 helper_work;	  /* the work that it has to do */
	uint32 helper_done;	  /* the work of which it has done all batches */
	uint32 helper_failed; /* the work of which a batch has failed */

	pg_atomic_uint32 n_terminations;
	pg_atomic_uint32 leaves_wanted;	   /* a row had to go to an overflow leaf */
	pg_atomic_uint32 events_to_notify; /* events were written since the last NOTIFY */
	int				 n_shifts;
	TaskqShift		 shifts[MAX_SHIFTS];

	/*
	 * For watch.c only: the last look at the clocks, by the scheduler, or by the
	 * launcher while there is no scheduler.  The launcher holds TaskqShared.lock, and
	 * the scheduler looks for the first time after it has set scheduler_pid.
	 */
	TaskqClockLook watched;

	TaskqCounter	 counters[N_COUNTERS];
	pg_atomic_uint32 signalled;					   /* the scheduler must look for work */
	pg_atomic_uint32 may_grow;					   /* 0 if the scheduler could not start more workers */
	pg_atomic_uint64 next_moment;				   /* the next moment at which the scheduler must look */
	pg_atomic_uint64 next_lease;				   /* no lease ends before this moment */
	pg_atomic_uint32 config_commits;			   /* number of commits under way that change the configuration */
	pg_atomic_uint64 cancels;					   /* incremented by each request to cancel a job */
	pg_atomic_uint64 cancels_none_at;			   /* the value of "cancels" at which there was no request */
	pg_atomic_uint32 start_marks[MAX_START_MARKS]; /* a worker sets its mark when it is up */
} TaskqDatabase;

typedef struct TaskqShared
{
	LWLock			 lock;
	Latch			*launcher_latch; /* guarded by lock, as is launcher_pid */
	int				 launcher_pid;
	TimestampTz		 up_since; /* when recovery was over; 0 until the launcher runs */
	pg_atomic_uint32 n_waiting;
	pg_atomic_uint32 n_at_limit;				/* number of those that wait for a limit */
	pg_atomic_uint32 n_event_readers;			/* processes that wait for events */
	pg_atomic_uint32 probe_answers[MAX_PROBES]; /* databases in which a probe has found no taskq */
	pg_atomic_uint64 slots_short_at;			/* when a process lacked a slot last */
	bool			 schedulers_lack_slots;		/* a scheduler lacks a slot now; guarded by lock */
	int				 n_slots;
	int				 n_databases;
	TimestampTz		 slots_missing_since; /* since when max_worker_processes is used up; guarded by lock */
} TaskqShared;

extern TaskqShared		*taskq_shared;
extern TaskqSlot		*taskq_slots;
extern TaskqDatabase	*taskq_databases;
extern TaskqTermination *taskq_terminations; /* n_slots of them, guarded by TaskqShared.lock */
extern int				 taskq_tranche;

typedef Size (*ShmemSizeFunction)(void);
typedef void (*ShmemStartFunction)(void);

extern void			  ShmemRegister(ShmemSizeFunction size, ShmemStartFunction start);
extern void			  ShmemInit(void);
extern bool			  ShmemPresent(void);
extern int			  ShmemCountSlots(void);
extern TaskqSlot	 *ShmemMySlot(void);
extern TaskqDatabase *ShmemDatabase(Oid dboid, bool make);
extern TaskqDatabase *ShmemMyDatabase(void);
extern void			  ShmemForgetDatabase(TaskqDatabase *db);
extern TimestampTz	  ShmemUpSince(void);
extern bool			  ShmemConfigCommits(void);
extern void			  ShmemWakeScheduler(TaskqDatabase *db);
extern void			  ShmemWakeLauncher(void);

/* shmem_runs.c */
extern int	ShmemCountProcesses(Oid dboid);
extern bool ShmemRuns(int64 job_id, int64 epoch);
extern bool ShmemRunsJob(int64 job_id);
extern bool ShmemTerminationPending(int64 job_id);

#endif /* TASKQ_SHMEM_H */
