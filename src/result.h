/*
 * result.h
 *	  What a handler returns: a plain result, success(), failure() or snooze().
 */
#ifndef TASKQ_RESULT_H
#define TASKQ_RESULT_H

#include "taskq.h"

#include "utils/timestamp.h"

extern bool ResultUnwrap(Datum *result, TimestampTz *snoozed_until, MemoryContext context);

#endif							/* TASKQ_RESULT_H */
