/*
 * definition_guard.h
 *	  Changes of taskq's objects that would break what it promises.
 */
#ifndef TASKQ_DEFINITION_GUARD_H
#define TASKQ_DEFINITION_GUARD_H

#include "taskq.h"

#include "nodes/parsenodes.h"

extern void DefinitionGuard(Node *statement);

#endif /* TASKQ_DEFINITION_GUARD_H */
