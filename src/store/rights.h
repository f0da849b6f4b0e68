/*
 * rights.h
 *	  Nobody but the owner has rights on what taskq is made of.
 */
#ifndef TASKQ_RIGHTS_H
#define TASKQ_RIGHTS_H

#include "taskq.h"

extern void RightsRevokeAll(void);
extern void RightsRevokeOnTables(const char *table);

#endif /* TASKQ_RIGHTS_H */
