/*
 * ours.h
 *	  Deciding whether an object belongs to taskq.
 */
#ifndef TASKQ_OURS_H
#define TASKQ_OURS_H

#include "taskq.h"

extern bool SchemaIsOurs(Oid schema);
extern bool RelationIsOurs(Oid relid);
extern bool FunctionIsOurs(Oid function);
extern bool ObjectIsOurs(Oid class, Oid object);
extern bool RelationIsMember(Oid relid);
extern bool InOwnScript(void);

#endif /* TASKQ_OURS_H */
