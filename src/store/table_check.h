/*
 * table_check.h
 *	  Checking, before taskq's tables are used, that no code of users is attached to
 *	  them.
 */
#ifndef TASKQ_TABLE_CHECK_H
#define TASKQ_TABLE_CHECK_H

#include "taskq.h"

#include "utils/relcache.h"

extern void TableCheckInit(void);
extern void TableCheck(Relation rel);
extern void TableCheckAll(void);

#endif /* TASKQ_TABLE_CHECK_H */
