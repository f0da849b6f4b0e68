/*
 * keep_tenants.h
 *	  Moving waiting jobs of tenants to which workers are bound to the routes of these.
 */
#ifndef TASKQ_KEEP_TENANTS_H
#define TASKQ_KEEP_TENANTS_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz TenantsDue(const WorkPast *past);
extern void		   KeepTenants(WorkResult *result);

#endif /* TASKQ_KEEP_TENANTS_H */
