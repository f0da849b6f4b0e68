/*
 * watch.h
 *	  Watching the functions, schemas and roles on which it depends whether a
 *	  handler can run.
 */
#ifndef TASKQ_WATCH_H
#define TASKQ_WATCH_H

#include "taskq.h"

extern void WatchInit(void);
extern void WatchFunction(Oid function);
extern void WatchFunctionName(Oid schema, const char *name, int n_args, const Oid *args);
extern void WatchSchema(Oid schema);
extern void WatchSchemaName(const char *name);

#endif /* TASKQ_WATCH_H */
