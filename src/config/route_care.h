/*
 * route_care.h
 *	  Removing routes that nothing uses any more.
 */
#ifndef TASKQ_ROUTE_CARE_H
#define TASKQ_ROUTE_CARE_H

#include "taskq.h"

#include "utils/timestamp.h"

extern TimestampTz RouteCareDue(bool used);
extern void		   RouteCare(void);

#endif /* TASKQ_ROUTE_CARE_H */
