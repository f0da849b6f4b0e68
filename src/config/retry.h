/*
 * retry.h
 *	  How long to wait before the next attempt.
 */
#ifndef TASKQ_RETRY_H
#define TASKQ_RETRY_H

#include "taskq.h"

typedef enum RetryKind
{
	RETRY_EXPONENTIAL,
	RETRY_LINEAR,
	RETRY_FIXED,
	RETRY_NONE
} RetryKind;

typedef struct RetryPolicy
{
	RetryKind kind;
	int64	  base; /* microseconds */
	int64	  cap;
} RetryPolicy;

extern RetryPolicy RetryDefault(void);
extern bool		   RetryKindByName(const char *name, RetryKind *kind);
extern const char *RetryKindName(RetryKind kind);
extern int64	   RetryDelay(RetryPolicy policy, int attempt, double jitter);
extern double	   RetryJitter(void);

#endif /* TASKQ_RETRY_H */
