/*
 * table_guard.h
 *	  Nobody's code on taskq's tables.
 */
#ifndef TASKQ_TABLE_GUARD_H
#define TASKQ_TABLE_GUARD_H

#include "taskq.h"

#include "utils/relcache.h"

extern void TableGuardInit(void);
extern bool TableGuardIsOurs(Oid relid);
extern bool TableGuardIsOurFunction(Oid function);
extern bool TableGuardTrustsType(Oid type);
extern void TableGuardCheck(Relation rel);
extern void TableGuardCheckAll(void);

#endif /* TASKQ_TABLE_GUARD_H */
