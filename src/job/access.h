/*
 * access.h
 *	  Kinds of access, and the roles that have them.
 */
#ifndef TASKQ_ACCESS_H
#define TASKQ_ACCESS_H

#include "taskq.h"

extern bool AccessHas(Oid role, const char *access);

#endif /* TASKQ_ACCESS_H */
