/*
 * route_care.h
 *	  Removing routes that nothing uses any more.
 */
#ifndef TASKQ_ROUTE_CARE_H
#define TASKQ_ROUTE_CARE_H

#include "taskq.h"

#include "utils/timestamp.h"

extern TimestampTz RouteCareDue(bool used);
extern bool		   RouteCare(void);
extern bool		   RouteDeleteSome(void);

extern TransactionId RoutesKnownFrom(void);
extern bool			 RoutesKnownToAll(TransactionId from);

#endif /* TASKQ_ROUTE_CARE_H */
