/*
 * definition_guard.h
 *	  Refusing changes of taskq's objects that would break its guarantees.
 */
#ifndef TASKQ_DEFINITION_GUARD_H
#define TASKQ_DEFINITION_GUARD_H

#include "taskq.h"

#include "nodes/parsenodes.h"

extern void DefinitionGuard(Node *statement);

#endif /* TASKQ_DEFINITION_GUARD_H */
