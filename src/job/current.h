/*
 * current.h
 *	  The job that this process runs.
 */
#ifndef TASKQ_CURRENT_H
#define TASKQ_CURRENT_H

#include "taskq.h"

#include "job/job.h"

/* What a handler says about its failure; each member may be NULL. */
typedef struct SaidFailure
{
	const char *message;
	const char *code; /* error code of the application */
	const char *type; /* error type */
	const char *retry_in;
	const char *detail;
	const char *hint;
} SaidFailure;

extern int				   CurrentPush(TaskqJob *job);
extern void				   CurrentReset(int depth);
extern struct varlena	  *CurrentCorrelation(void);
TASKQ_NORETURN extern void RaiseForJob(bool retryable, const SaidFailure *said);
extern bool				   CurrentSave(struct varlena *checkpoint, struct varlena *progress);
extern const TaskqJob	  *CurrentJob(void);
extern bool				   CurrentIs(int64 job_id);
extern bool				   CurrentRuns(void);
extern void				   CurrentRefuse(int64 job_id, const char *what);

#endif /* TASKQ_CURRENT_H */
