/*
 * blame_int.h
 *	  The memory that survives a crash; for blame.c and suspects.c only.
 */
#ifndef TASKQ_BLAME_INT_H
#define TASKQ_BLAME_INT_H

#include "taskq.h"

#include <signal.h>

#include "port/atomics.h"

#include "shared/blame.h"

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

/* suspects.c; called by blame.c */
extern Blame *blame; /* NULL if there is none */

extern int	SuspectsCount(void);
extern bool SuspectsIsRun(const BlameRun *run);
extern void SuspectsDropDamaged(void);
extern void SuspectsAdd(const BlameRun *run, bool certain, TimestampTz now);
extern void SuspectsAwait(TimestampTz until);
extern void SuspectsStart(void);
extern void SuspectsClear(void);

#endif /* TASKQ_BLAME_INT_H */
