/*
 * result.h
 *	  What a handler returns: a plain result, success(), failure(), snooze()
 *	  or decision().
 */
#ifndef TASKQ_RESULT_H
#define TASKQ_RESULT_H

#include "taskq.h"

#include "utils/jsonb.h"

#include "call.h"

/* The member by which a result is told from a plain one. */
#define RESULT_TAG "$taskq"

extern bool ResultHasTag(Jsonb *result, const char *tag);
extern void ResultUnwrap(Run *run);

#endif							/* TASKQ_RESULT_H */
