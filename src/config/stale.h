/*
 * stale.h
 *	  What has changed in the configuration since it was read into memory.
 */
#ifndef TASKQ_STALE_H
#define TASKQ_STALE_H

#include "taskq.h"

#include "shared/news.h"
#include "store/rels.h"

/* Rows of a table that a cache must read again. */
typedef struct StaleRows
{
	TaskqRel rel;
	bool	 all; /* any row may have changed */
	NewsKey *keys;
	int		 n;
	int		 max;
	bool	 is_watched; /* by StaleWatch() */
} StaleRows;

extern void StaleInit(void);
extern void StaleWatch(StaleRows *rows);
extern void StaleLook(void);
extern void StaleReading(void);
extern void StaleEverything(void);

/*
 * A row was changed by this transaction, which is visible to it from now on and to
 * all processes from its commit on.  The key is a name, or a pointer to an int32.
 */
extern void ConfigNameChanged(TaskqRel rel, const char *name);
extern void ConfigNumberChanged(TaskqRel rel, int32 number);
extern void ConfigRowsChanged(TaskqRel rel); /* some rows */
extern void ConfigAnythingChanged(void);	 /* any row of any table */

extern void ConfigCatchUp(void); /* learn of all that is committed now */

/* What was computed under another version than this must be computed again. */
extern uint64 ConfigVersion(void);				/* from anything */
extern uint64 ConfigTableVersion(TaskqRel rel); /* from rows of a table */
extern uint64 ConfigCodeVersion(void);			/* from handlers, and any function */
extern uint64 ConfigJudgementVersion(void);		/* from roles, adoption and watched functions */

/* Functions and schemas that a judgement depends on, by oid or by name. */
extern void WatchFunction(Oid function);
extern void WatchFunctionName(Oid schema, const char *name, int n_args, const Oid *args);
extern void WatchSchema(Oid schema);
extern void WatchSchemaName(const char *name);

#endif /* TASKQ_STALE_H */
