/*
 * interest.h
 *	  Which processes wait for jobs of which routes.
 */
#ifndef TASKQ_INTEREST_H
#define TASKQ_INTEREST_H

#include "taskq.h"

#include "shared/wait.h"

extern void InterestInit(void);
extern void InterestBegin(const RouteSet *routes);
extern void InterestEnd(void);
extern int	InterestNext(int32 route_id, int slot);

#endif /* TASKQ_INTEREST_H */
