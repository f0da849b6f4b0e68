/*
 * write_guard.h
 *	  Refusing writes to taskq's tables.
 */
#ifndef TASKQ_WRITE_GUARD_H
#define TASKQ_WRITE_GUARD_H

#include "taskq.h"

#include "store/rels.h"

/*
 * Called before a statement by hand, or COPY, writes to one of taskq's tables.  It
 * must not increment the command counter.
 */
typedef void (*WriteWatcher)(TaskqRel rel);

extern void WriteGuardWatch(WriteWatcher watcher);
extern void WriteGuardTruncate(Oid relid);
extern void WriteGuardInit(void);

#endif /* TASKQ_WRITE_GUARD_H */
