/*
 * usercode.h
 *	  Run users' code outside handlers.
 */
#ifndef TASKQ_USERCODE_H
#define TASKQ_USERCODE_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "job/job.h"

/* Users' code that is to be run. */
typedef struct UserCode
{
	Oid			role;
	const char *search_path; /* NULL: pg_catalog only */
	const char *what;		 /* name of the code in messages */
	TaskqJob   *job;		 /* the current job, as the code sees it, or NULL */
	int64		time_limit;	 /* microseconds, for messages */
	TimestampTz until;		 /* when the code is interrupted */
	bool		settles;	 /* called to settle a run: an interrupt of a worker must not undo the settle */
} UserCode;

typedef void (*UserCodeFunction)(void *arg);

extern ErrorData		  *UserCodeRun(const UserCode *code, UserCodeFunction function, void *arg);
TASKQ_NORETURN extern void UserCodePassOn(ErrorData *error);

#endif /* TASKQ_USERCODE_H */
