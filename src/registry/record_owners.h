/*
 * record_owners.h
 *	  Bringing what the registry has stored of functions and types up to date.
 */
#ifndef TASKQ_RECORD_OWNERS_H
#define TASKQ_RECORD_OWNERS_H

#include "taskq.h"

extern void RecordOwners(bool adopt);

#endif /* TASKQ_RECORD_OWNERS_H */
