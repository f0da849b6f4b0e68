/*
 * ddl.h
 *	  DDL that wants taskq's processes out of a database.
 */
#ifndef TASKQ_DDL_H
#define TASKQ_DDL_H

#include "taskq.h"

extern void DdlInit(void);

#endif /* TASKQ_DDL_H */
