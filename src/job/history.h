/*
 * history.h
 *	  Finished jobs, and failed attempts.
 */
#ifndef TASKQ_HISTORY_H
#define TASKQ_HISTORY_H

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

extern const char	  *HistoryHandlerVersion(const TaskqJob *job);
extern void			   HistoryInsert(const TaskqJob *job, struct varlena *result, TimestampTz now);
extern bool			   HistoryFind(int64 job_id, TaskqJob *job, TaskqEnding *ending);
extern StoreLockResult HistorySupersede(int64 job_id, int life, bool wait);
extern void			   HistoryInsertFailure(const TaskqJob *job, const AttemptFailure *failure, TimestampTz now);
extern bool			   HistoryMaintain(bool wait);
extern void			   HistoryPrune(void);

#endif /* TASKQ_HISTORY_H */
