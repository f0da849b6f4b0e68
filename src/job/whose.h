/*
 * whose.h
 *	  Deciding who may see a job and who may cancel it.
 */
#ifndef TASKQ_WHOSE_H
#define TASKQ_WHOSE_H

#include "taskq.h"

extern bool				   WhoseMaySee(int64 job_id);
extern bool				   WhoseMayCancel(int64 job_id);
extern bool				   WhoseMayWork(void);
extern bool				   WhoseMayOperate(void);
TASKQ_NORETURN extern void WhoseNotSeen(int64 job_id);

#endif /* TASKQ_WHOSE_H */
