/*
 * object_owner.h
 *	  Finding the owner of a function or a type.
 */
#ifndef TASKQ_OBJECT_OWNER_H
#define TASKQ_OBJECT_OWNER_H

#include "taskq.h"

extern Oid FunctionOwner(Oid function);
extern Oid TypeOwner(Oid type);

#endif /* TASKQ_OBJECT_OWNER_H */
