/*
 * ddl.h
 *	  DDL that needs a database free of taskq's processes.
 */
#ifndef TASKQ_DDL_H
#define TASKQ_DDL_H

#include "taskq.h"

extern void DdlInit(void);

#endif /* TASKQ_DDL_H */
