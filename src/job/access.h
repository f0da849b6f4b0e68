/*
 * access.h
 *	  Kinds of access, and the roles that have them.
 */
#ifndef TASKQ_ACCESS_H
#define TASKQ_ACCESS_H

#include "taskq.h"

typedef enum AccessKind
{
	ACCESS_PRODUCER,
	ACCESS_WORKER,
	ACCESS_OBSERVER,
	ACCESS_OPERATOR,
	ACCESS_ADMIN
} AccessKind;

#define N_ACCESS_KINDS (ACCESS_ADMIN + 1)

extern const char *AccessName(AccessKind kind);
extern void		   AccessInit(void);
extern bool		   AccessHas(Oid role, AccessKind kind);
extern bool		   AccessHasByName(Oid role, const char *name);
extern void		   AccessForgetStale(Oid except_role, const char *except_access);

#endif /* TASKQ_ACCESS_H */
