/*
 * depends_on.h
 *	  The functions, schemas and roles on which it depends whether a handler can
 *	  run.
 */
#ifndef TASKQ_DEPENDS_ON_H
#define TASKQ_DEPENDS_ON_H

#include "taskq.h"

extern void DependsInit(void);
extern void DependsOnFunction(Oid function);
extern void DependsOnFunctionName(Oid schema, const char *name, int n_args, const Oid *args);
extern void DependsOnSchema(Oid schema);
extern void DependsOnSchemaName(const char *name);

#endif /* TASKQ_DEPENDS_ON_H */
