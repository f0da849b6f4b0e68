/*
 * slots.h
 *	  Sharing the server's worker slots between databases.
 */
#ifndef TASKQ_SLOTS_H
#define TASKQ_SLOTS_H

#include "taskq.h"

#include "shared/shmem.h"

/* Why a scheduler cannot be started. */
typedef enum SlotsShort
{
	SLOTS_ENOUGH,
	SLOTS_NO_PLACE, /* there are as many schedulers as allowed */
	SLOTS_NO_SLOT	/* max_worker_processes is used up */
} SlotsShort;

/* Can a pool of this database have workers? */
typedef enum SlotsState
{
	SLOTS_READY,
	SLOTS_NONE_FREE,  /* it has none, and no slot of max_worker_processes is free */
	SLOTS_NOT_RUNNING /* taskq starts none in this database */
} SlotsState;

extern SlotsState SlotsStateOf(const char *pool);
extern int		  SlotsForSchedulers(void);
extern bool		  SlotsAreShort(void);
extern void		  SlotsNoteShort(void);
extern void		  SlotsWant(TaskqDatabase *db, int n);
extern bool		  SlotsMayTake(const TaskqDatabase *db);
extern void		  SlotsTaken(TaskqDatabase *db);
extern bool		  SlotsForHelper(TaskqDatabase *db);
extern bool		  SlotsMakeRoom(SlotsShort schedulers, int n_schedulers);

#endif /* TASKQ_SLOTS_H */
