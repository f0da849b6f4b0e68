/*
 * blame.h
 *	  Finding the run that crashed the server.
 */
#ifndef TASKQ_BLAME_H
#define TASKQ_BLAME_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "shared/shmem.h"

/* A run of a background worker. */
typedef struct BlameRun
{
	Oid			dboid;
	int64		job_id;
	int64		epoch;
	TimestampTz started_at;
	char		pool[TASKQ_NAME_MAX + 1];
	char		worker_id[WORKER_ID_SIZE];
} BlameRun;

/* A run whose process died in a crash and was not told to quit. */
typedef struct BlameSuspect
{
	BlameRun	run;
	TimestampTz crashed_at;
	bool		certain;  /* it was the only suspect */
	bool		recorded; /* its database knows; it may run now, alone */
	int			runner;	  /* pid of the process that runs it now, or 0 */
	TimestampTz until;	  /* other jobs wait for it until this moment; 0 if they do not wait */
} BlameSuspect;

#define MAX_SUSPECTS 64

extern void BlameInit(void);
extern void BlameRecoveryOver(void);
extern void BlameAttach(void);
extern void BlameBegin(const TaskqSlot *slot);
extern void BlameEnd(void);

/* suspects.c: for workers */
extern bool BlamePending(int64 *job_id);
extern void BlameAlone(int64 job_id);
extern bool BlameHolds(int64 job_id);

/* suspects.c: for the schedulers */
extern int		   BlameList(Oid dboid, BlameSuspect *suspects);
extern void		   BlameSetRecorded(const BlameSuspect *suspect);
extern void		   BlameForget(const BlameSuspect *suspect);
extern TimestampTz BlameForgetOverdue(void);

#ifdef TASKQ_TESTING
extern void BlameScribble(void);
#endif

#endif /* TASKQ_BLAME_H */
