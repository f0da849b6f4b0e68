/*
 * ours.h
 *	  Is an object taskq's own?
 */
#ifndef TASKQ_OURS_H
#define TASKQ_OURS_H

#include "taskq.h"

extern bool SchemaIsOurs(Oid schema);
extern bool RelationIsOurs(Oid relid);
extern bool FunctionIsOurs(Oid function);

#endif /* TASKQ_OURS_H */
