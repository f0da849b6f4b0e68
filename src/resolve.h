/*
 * resolve.h
 *	  Functions and types that are stored by name.
 */
#ifndef TASKQ_RESOLVE_H
#define TASKQ_RESOLVE_H

#include "taskq.h"

extern Oid	ResolveFunction(const char *signature, Oid cached, int n_args, const Oid *args);
extern Oid	ResolveType(const char *name, Oid cached);
extern const char *FunctionRefusal(Oid function, int n_args, const Oid *args);
extern void CheckFunctionExists(Oid function, const char *what);
extern char *QualifiedTypeName(Oid type);

#endif							/* TASKQ_RESOLVE_H */
