/*
 * attempt.h
 *	  Recording attempts that did not complete.
 */
#ifndef TASKQ_ATTEMPT_H
#define TASKQ_ATTEMPT_H

#include "taskq.h"

#include "job/job.h"

/* An attempt that did not complete. */
struct AttemptFailure
{
	const char *outcome; /* failed, timeout, expired, terminated, ... */
	const char *error_type;
	const char *error_code;
	const char *message;
	const char *sqlstate;
	const char *detail;
	const char *hint;
	const char *context;
	bool		of_setup; /* the database is not as the handler needs it */
};

extern struct varlena *InstanceToKeep(const TaskqJob *job);
extern const char	  *AttemptHandlerVersion(const TaskqJob *job);
extern void			   AttemptRecordFailure(const TaskqJob *job, const AttemptFailure *failure, TimestampTz now);
extern bool			   AttemptsLeft(const TaskqJob *job, const AttemptFailure *failure);

#endif /* TASKQ_ATTEMPT_H */
