/*
 * result.h
 *	  Build and read what a handler returns.
 */
#ifndef TASKQ_RESULT_H
#define TASKQ_RESULT_H

#include "taskq.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* The member that values of success(), failure(), snooze() and decision() have. */
#define RESULT_TAG "$taskq"

/* Their random member. */
#define RESULT_NONCE "$nonce"

/* Error code and hint of an attempt that failed because its result is too large. */
#define RESULT_TOO_LARGE "RESULT_TOO_LARGE"
#define RESULT_HINT "Keep the data in a table of your own and put its key into the result."

extern void			   ResultBegin(StringInfo json, const char *tag);
extern Datum		   ResultEnd(StringInfo json);
extern char			  *ResultTooLarge(struct varlena *result, char **detail);
extern bool			   ResultHasTag(Jsonb *result, const char *tag);
extern bool			   ResultIsMeant(Jsonb *result);
extern char			  *ResultMember(Jsonb *jsonb, const char *key);
extern struct varlena *ResultOfSuccess(Jsonb *success);

#endif /* TASKQ_RESULT_H */
