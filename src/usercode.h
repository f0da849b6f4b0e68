/*
 * usercode.h
 *	  Code that users bring outside handlers.
 */
#ifndef TASKQ_USERCODE_H
#define TASKQ_USERCODE_H

#include "taskq.h"

#include "job.h"

/* Whose code it is. */
typedef struct UserCode
{
	Oid			role;
	const char *search_path;	/* NULL: pg_catalog alone */
	TaskqJob   *job;			/* that it may ask for as the current one; NULL: none */
	int64		time_limit;		/* microseconds; 0: none but the caller's */
} UserCode;

typedef void (*UserCodeFunction) (void *arg);

extern const char *UserCodeRefusal(Oid role);
extern ErrorData *UserCodeRun(const UserCode *code, UserCodeFunction function, void *arg);

#endif							/* TASKQ_USERCODE_H */
