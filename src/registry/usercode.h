/*
 * usercode.h
 *	  Code that users bring outside handlers.
 */
#ifndef TASKQ_USERCODE_H
#define TASKQ_USERCODE_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "job/job.h"

/* Whose code it is. */
typedef struct UserCode
{
	Oid			role;
	const char *search_path; /* NULL: pg_catalog alone */
	const char *what;		 /* what it is, for messages */
	TaskqJob   *job;		 /* that it may ask for as the current one; NULL: none */
	int64		time_limit;	 /* microseconds, for messages */
	TimestampTz until;		 /* when it is over */
	bool		settles;	 /* called to settle: no interrupt of a worker can be meant for more */
} UserCode;

typedef void (*UserCodeFunction)(void *arg);

extern ErrorData		  *UserCodeRun(const UserCode *code, UserCodeFunction function, void *arg);
TASKQ_NORETURN extern void UserCodePassOn(ErrorData *error);

#endif /* TASKQ_USERCODE_H */
