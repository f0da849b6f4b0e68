/*
 * shmem.h
 *	  What taskq's processes know of each other.
 *
 * There is a slot for each process of the server, by its process number, so
 * that no slot is ever searched for or handed out; and an entry for each
 * database that has taskq.  Without preload there is no shared memory, every
 * pointer below is NULL and whoever uses it says so or does without.
 *
 * Lock order: TaskqShared.lock, then one slot's lock.  Neither is held while
 * anything that can fail or wait is called.
 */
#ifndef TASKQ_SHMEM_H
#define TASKQ_SHMEM_H

#include "taskq.h"

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* A worker's id is its pool and its process id. */
#define WORKER_ID_SIZE (TASKQ_NAME_MAX + 1 + 16)
#define INTEREST_WORDS 16 /* 1024 bits, by route_id */

/* TaskqSlot.waiting */
#define NOT_WAITING 0
#define WAITING 1
#define WOKEN 2 /* somebody's job has been promised to it */

typedef struct TaskqSlot
{
	/*
	 * Waiting for jobs.  The owner writes interest and then sets waiting;
	 * whoever commits a job turns WAITING into WOKEN and sets the latch.  No
	 * lock: a committer that reads a stale interest has committed before the
	 * owner's next look, which finds the job.
	 */
	pg_atomic_uint32 waiting;
	uint64			 interest[INTEREST_WORDS];
	uint64			 worker_key; /* of the external worker that it claims for */
	bool			 at_limit;	 /* it waits for one of that worker's permits, not for jobs */

	pg_atomic_uint32 reads_events; /* it waits for events: set its latch and clear this */

	/* Constant while the owner lives. */
	Oid	   dboid; /* InvalidOid: the slot is not in use */
	Latch *latch;
	int	   pid;

	/* Background workers only; guarded by lock. */
	LWLock		lock;
	bool		worker;
	bool		leave;		/* asked to finish its job and go */
	int			start_mark; /* which start of the scheduler's it was */
	char		pool[TASKQ_NAME_MAX + 1];
	Oid			role; /* the pool's */
	char		worker_id[WORKER_ID_SIZE];
	TimestampTz started_at;
	uint64		completed;
	uint64		failed;

	/* The job it runs; job_id is 0 while it runs none.  Guarded by lock. */
	int64		job_id;
	int64		epoch;
	int32		attempt;
	char		task_type[TASKQ_NAME_MAX + 1];
	TimestampTz job_started_at;
	bool		interruptible;	/* its handler is on the stack */
	int64		cancel_epoch;	/* the claim that was asked to be cancelled */
	TimestampTz cancelled_at;	/* and when */
	TimestampTz interrupted_at; /* for that, last */
	TimestampTz deadline;		/* by its timeout; 0: none */
	bool		timed_out;		/* so long ago that the worker ends itself */
	bool		stuck;			/* and does not even do that */
} TaskqSlot;

/*
 * A run that was ended from outside, for the scheduler to record.  There is room
 * for as many as there can be processes: a worker is only started when those that
 * were reported before have been recorded.
 */
typedef struct TaskqTermination
{
	Oid			dboid;
	int64		job_id; /* 0: the entry is free */
	int64		epoch;
	TimestampTz started_at;
	bool		timed_out; /* by itself, as nothing else ended the run */
	char		worker_id[WORKER_ID_SIZE];
} TaskqTermination;

#define MAX_START_MARKS 256
#define MAX_FAILED_POOLS 16
#define MAX_PREPARED 256
#define MAX_PROBES 64 /* on their way at a time */

/* Time that was lost: leases from before are moved by it (watch.c). */
typedef struct TaskqShift
{
	TransactionId xid_before; /* the next one before it was lost */
	TransactionId xid;		  /* and when that was noted */
	TimestampTz	  from;		  /* before it was lost */
	TimestampTz	  at;		  /* when that was noted */
	int64		  by;		  /* microseconds; less than 0: the clock was set back */
} TaskqShift;

#define MAX_SHIFTS 16

typedef struct TaskqDatabase
{
	/* Guarded by TaskqShared.lock. */
	Oid			  dboid;		 /* InvalidOid: the entry is free */
	int			  scheduler_pid; /* 0: none runs */
	Latch		 *scheduler_latch;
	bool		  scheduler_failed;		  /* the last one was ended by an error */
	bool		  probe;				  /* the launcher is to look at the database */
	int			  blocked;				  /* DDL under way that wants no taskq process here */
	TimestampTz	  scheduler_since;		  /* that it runs */
	TimestampTz	  looked_at;			  /* by the scheduler, last; 0: not since the start */
	TimestampTz	  idle_since;			  /* the scheduler has had no work; 0: it has */
	TimestampTz	  waits_since;			  /* there is no slot for the scheduler; 0: there is */
	bool		  make_room;			  /* the scheduler is asked to leave */
	bool		  rests;				  /* it has done so */
	int			  slots_wanted;			  /* for workers, when it was last tried to start some */
	TimestampTz	  slots_wanted_at;		  /* that was */
	TimestampTz	  slot_taken_at;		  /* a worker was started last */
	TransactionId prepared[MAX_PREPARED]; /* prepared, and of taskq's (prepared.c) */
	int			  n_prepared;
	bool		  prepared_known;									  /* no other is */
	char		  failed_pools[MAX_FAILED_POOLS][TASKQ_NAME_MAX + 1]; /* a worker ended by an error */

	pg_atomic_uint32 n_terminations;
	pg_atomic_uint32 leaves_wanted;	   /* a row has found no leaf of its day */
	pg_atomic_uint32 events_to_notify; /* events were written since the last NOTIFY */
	int				 n_shifts;
	TaskqShift		 shifts[MAX_SHIFTS];

	/* The scheduler's own: when it has looked at the clocks, and what the steady one said. */
	TimestampTz	  watched_at;
	int64		  watched_steady;
	TransactionId watched_xid;

	pg_atomic_uint32 signalled;					   /* the scheduler is to look */
	pg_atomic_uint32 may_grow;					   /* is it worth telling the scheduler of more work? */
	pg_atomic_uint64 next_moment;				   /* when the scheduler must look again */
	pg_atomic_uint64 next_lease;				   /* no lease is over before */
	pg_atomic_uint64 config_version;			   /* raised when the configuration changes */
	pg_atomic_uint64 cancels;					   /* raised by each request to cancel a job */
	pg_atomic_uint64 cancels_none_at;			   /* when it was this, there was no request */
	pg_atomic_uint32 start_marks[MAX_START_MARKS]; /* workers set theirs when up */
} TaskqDatabase;

typedef struct TaskqShared
{
	LWLock			 lock;
	Latch			*launcher_latch; /* guarded by lock, as is the next */
	int				 launcher_pid;
	TimestampTz		 up_since; /* recovery was over; 0 until the launcher is up */
	pg_atomic_uint32 n_waiting;
	pg_atomic_uint32 n_at_limit;				/* those of them that wait for a permit */
	pg_atomic_uint32 n_event_readers;			/* processes that wait for events */
	pg_atomic_uint32 probe_answers[MAX_PROBES]; /* the database in which a probe has found no taskq */
	pg_atomic_uint64 slots_short_at;			/* somebody has lacked a slot, last */
	bool			 schedulers_lack_slots;		/* now; guarded by lock */
	int				 n_slots;
	int				 n_databases;
	TimestampTz		 slots_missing_since; /* max_worker_processes was exhausted; guarded by lock */
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
extern uint64		  ShmemConfigVersion(void);
extern void			  ShmemWakeScheduler(TaskqDatabase *db);
extern void			  ShmemWakeLauncher(void);
extern int			  ShmemCountProcesses(Oid dboid);
extern bool			  ShmemRuns(int64 job_id, int64 epoch);
extern bool			  ShmemRunsJob(int64 job_id);
extern bool			  ShmemTerminationPending(int64 job_id);

#endif /* TASKQ_SHMEM_H */
