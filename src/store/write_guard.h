/*
 * write_guard.h
 *	  Refusing writes to taskq's tables.
 */
#ifndef TASKQ_WRITE_GUARD_H
#define TASKQ_WRITE_GUARD_H

#include "taskq.h"

extern void WriteGuardTruncate(Oid relid);
extern void WriteGuardInit(void);

#endif /* TASKQ_WRITE_GUARD_H */
