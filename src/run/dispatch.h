/*
 * dispatch.h
 *	  Claim a job, run it and settle it, in a background worker.
 */
#ifndef TASKQ_DISPATCH_H
#define TASKQ_DISPATCH_H

#include "taskq.h"

#include "claim/claim.h"

extern void BeginJobTransaction(void);
extern int	DispatchNext(const ClaimRequest *request);
extern bool DispatchMustRepeat(void);

#endif /* TASKQ_DISPATCH_H */
