/*
 * record_owners.h
 *	  Update the OIDs and owners of functions and types that the registry has stored.
 */
#ifndef TASKQ_RECORD_OWNERS_H
#define TASKQ_RECORD_OWNERS_H

#include "taskq.h"

extern bool RecordOwners(char *after);
extern void RecordOwnersAnew(void);

#endif /* TASKQ_RECORD_OWNERS_H */
