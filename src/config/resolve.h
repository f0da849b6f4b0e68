/*
 * resolve.h
 *	  Functions and types that are stored by name.
 */
#ifndef TASKQ_RESOLVE_H
#define TASKQ_RESOLVE_H

#include "taskq.h"

/* A function or type that is stored by name. */
typedef struct StoredName
{
	const char *name;	   /* a function's signature, a type's qualified name */
	Oid			oid;	   /* the cached OID */
	Oid			owner;	   /* at registration; InvalidOid if not known */
	Oid			role;	   /* the role as which it runs */
	Oid			registrar; /* the role that registered it */
} StoredName;

extern void		   ResolveWatch(const StoredName *stored, int n_args, const Oid *args);
extern Oid		   ResolveFunction(const StoredName *stored, int n_args, const Oid *args, bool *others);
extern Oid		   ResolveType(const StoredName *stored, bool *others);
extern const char *FunctionRefusal(Oid function, int n_args, const Oid *args, Oid *answer);
extern bool		   HoldObject(Oid class, Oid object);
extern void		   ReleaseObject(Oid class, Oid object);
extern void		   CheckFunctionExists(Oid function, const char *what);
extern char		  *QualifiedTypeName(Oid type);

#endif /* TASKQ_RESOLVE_H */
