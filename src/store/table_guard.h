/*
 * table_guard.h
 *	  Nobody's code on taskq's tables.
 */
#ifndef TASKQ_TABLE_GUARD_H
#define TASKQ_TABLE_GUARD_H

#include "taskq.h"

extern void TableGuardInit(void);

#endif /* TASKQ_TABLE_GUARD_H */
