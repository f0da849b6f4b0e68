/*
 * stale.h
 *	  Keeping track of which rows of the configuration must be read again.
 */
#ifndef TASKQ_STALE_H
#define TASKQ_STALE_H

#include "taskq.h"

#include "shared/news.h"
#include "store/rels.h"

/* The rows of one table that a cache must read again. */
typedef struct StaleRows
{
	TaskqRel rel;
	bool	 all; /* any row may have changed */
	NewsKey *keys;
	int		 n;
	int		 max;
	bool	 is_watched; /* StaleWatch() was called */
} StaleRows;

extern void StaleInit(void);
extern void StaleWatch(StaleRows *rows);
extern void StaleLook(void);
extern void StaleReading(void);

/* Marks.  The functions that mark rows cannot fail. */
extern bool StaleIsConfiguration(TaskqRel rel);
extern void StaleReserve(TaskqRel rel, int more);
extern void StaleMarkRow(TaskqRel rel, const NewsKey *key);
extern void StaleMarkTable(TaskqRel rel);
extern void StaleMarkEverything(void);
extern void StaleMarkCode(void);
extern void StaleMarkJudgements(void);
extern void StaleExpect(TaskqRel rel);

extern void	  ConfigCatchUp(void);
extern uint64 ConfigChanges(void);

/*
 * Versions.  A value that was computed under another version must be computed again.
 * A version never decreases.
 */
extern uint64 ConfigVersion(void);				/* raised by any change */
extern uint64 ConfigTableVersion(TaskqRel rel); /* raised by changes of the table's rows */
extern uint64 ConfigCodeVersion(void);			/* raised by changes of handlers, and of any function */
extern uint64 ConfigJudgementVersion(void);		/* raised by changes of roles, of adoption, and of watched objects */

#endif /* TASKQ_STALE_H */
