/*
 * result.h
 *	  What a handler returns: a plain result, success(), failure(), snooze()
 *	  or decision().
 */
#ifndef TASKQ_RESULT_H
#define TASKQ_RESULT_H

#include "taskq.h"

#include "utils/jsonb.h"

/* The member by which a result is told from a plain one. */
#define RESULT_TAG "$taskq"

/* Of an attempt that failed by its result. */
#define RESULT_TOO_LARGE "RESULT_TOO_LARGE"
#define RESULT_HINT "Keep the data in a table of your own and put its key into the result."

extern char *ResultTooLarge(struct varlena *result, char **detail);
extern bool	 ResultHasTag(Jsonb *result, const char *tag);
extern bool	 ResultIsMeant(Jsonb *result);
extern char *ResultMember(Jsonb *jsonb, const char *key);

#endif /* TASKQ_RESULT_H */
