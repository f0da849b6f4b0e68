/*
 * usercode.h
 *	  Code that users bring outside handlers.
 */
#ifndef TASKQ_USERCODE_H
#define TASKQ_USERCODE_H

#include "taskq.h"

/* Whose code it is. */
typedef struct UserCode
{
	Oid			role;
	const char *search_path;	/* NULL: pg_catalog alone */
} UserCode;

typedef void (*UserCodeFunction) (void *arg);

extern const char *UserCodeRefusal(Oid role);
extern ErrorData *UserCodeRun(const UserCode *code, UserCodeFunction function, void *arg);

#endif							/* TASKQ_USERCODE_H */
