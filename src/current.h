/*
 * current.h
 *	  The job that this process runs, if it runs one.
 */
#ifndef TASKQ_CURRENT_H
#define TASKQ_CURRENT_H

#include "taskq.h"

#include "job.h"

extern int	CurrentPush(TaskqJob *job);
extern void CurrentReset(int depth);
extern struct varlena *CurrentCorrelation(void);
extern void RaiseForJob(bool retryable, const char *message, const char *code, const char *type, const char *retry_in);
extern bool CurrentSave(struct varlena *checkpoint, struct varlena *progress);
extern bool CurrentIs(int64 job_id);
extern void CurrentRefuse(int64 job_id, const char *what);

#endif							/* TASKQ_CURRENT_H */
