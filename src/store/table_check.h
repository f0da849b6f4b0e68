/*
 * table_check.h
 *	  taskq's tables are looked at before they are used.
 */
#ifndef TASKQ_TABLE_CHECK_H
#define TASKQ_TABLE_CHECK_H

#include "taskq.h"

#include "utils/relcache.h"

extern void TableCheckInit(void);
extern void TableCheck(Relation rel);
extern void TableCheckAll(void);

#endif /* TASKQ_TABLE_CHECK_H */
