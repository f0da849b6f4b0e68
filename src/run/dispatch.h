/*
 * dispatch.h
 *	  Running one claimed job in this process.
 */
#ifndef TASKQ_DISPATCH_H
#define TASKQ_DISPATCH_H

#include "taskq.h"

#include "claim/claim.h"

extern void BeginJobTransaction(void);
extern int	DispatchNext(const ClaimRequest *request);

#endif /* TASKQ_DISPATCH_H */
