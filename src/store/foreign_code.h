/*
 * foreign_code.h
 *	  Deciding whether an expression or a type uses code that is not trusted.
 */
#ifndef TASKQ_FOREIGN_CODE_H
#define TASKQ_FOREIGN_CODE_H

#include "taskq.h"

#include "nodes/nodes.h"

extern bool TypeIsTrusted(Oid type);
extern bool CallsForeignCode(Node *node, void *context);

#endif /* TASKQ_FOREIGN_CODE_H */
