/*
 * table_guard.h
 *	  Refusing code of users on taskq's tables.
 */
#ifndef TASKQ_TABLE_GUARD_H
#define TASKQ_TABLE_GUARD_H

#include "taskq.h"

extern void TableGuardInit(void);

#endif /* TASKQ_TABLE_GUARD_H */
