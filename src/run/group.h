/*
 * group.h
 *	  Which runs of a shared commit need no subtransaction of their own.
 */
#ifndef TASKQ_GROUP_H
#define TASKQ_GROUP_H

#include "taskq.h"

extern bool GroupMayTake(const char *task_type, int64 at_stake);
extern void GroupNote(const char *task_type, bool failed);

#endif /* TASKQ_GROUP_H */
