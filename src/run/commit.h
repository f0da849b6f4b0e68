/*
 * commit.h
 *	  Commit the transaction of one or more runs.
 */
#ifndef TASKQ_COMMIT_H
#define TASKQ_COMMIT_H

#include "taskq.h"

extern void RunCommit(bool async);

#endif /* TASKQ_COMMIT_H */
