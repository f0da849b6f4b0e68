/*
 * member_guard.h
 *	  Refusing changes of the extension's objects.
 */
#ifndef TASKQ_MEMBER_GUARD_H
#define TASKQ_MEMBER_GUARD_H

#include "taskq.h"

#include "catalog/objectaccess.h"
#include "nodes/nodes.h"

extern bool MemberGuardAllow(Node *statement);
extern void MemberGuardRestore(bool allowed);
extern void MemberRefuse(Oid class, Oid object) TASKQ_NORETURN;
extern void MemberGuardLook(ObjectAccessType access, Oid class, Oid object, void *arg);

#endif /* TASKQ_MEMBER_GUARD_H */
