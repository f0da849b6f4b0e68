/*
 * known_permits.h
 *	  The free permits of a worker that this session knows.
 */
#ifndef TASKQ_KNOWN_PERMITS_H
#define TASKQ_KNOWN_PERMITS_H

#include "taskq.h"

/* A permit, and how often it was used when it was free. */
typedef struct KnownPermit
{
	int	   number;
	uint64 uses;
} KnownPermit;

/* Of which worker the permits are. */
typedef struct PermitScope
{
	uint64 worker_key;
	Oid	   owner; /* the role that has registered it */
	int	   max_concurrent_jobs;
} PermitScope;

extern void KnownPermitsBegin(const PermitScope *scope);
extern void KnownPermitsForget(void);
extern void KnownPermitsAdd(uint64 worker_key, KnownPermit permit);
extern bool KnownPermitsNext(const PermitScope *scope, KnownPermit *permit);

#endif /* TASKQ_KNOWN_PERMITS_H */
