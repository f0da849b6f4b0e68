/*
 * rights.h
 *	  Revoking privileges on taskq's objects from everybody but the owner.
 */
#ifndef TASKQ_RIGHTS_H
#define TASKQ_RIGHTS_H

#include "taskq.h"

extern void RightsRevokeAll(void);
extern void RightsRevokeOnTables(const char *table);

#endif /* TASKQ_RIGHTS_H */
