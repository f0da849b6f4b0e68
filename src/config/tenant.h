/*
 * tenant.h
 *	  Tenants to which workers are bound.
 */
#ifndef TASKQ_TENANT_H
#define TASKQ_TENANT_H

#include "taskq.h"

#include "utils/array.h"

extern bool	  TenantIsBound(const char *tenant_id);
extern bool	  TenantsBind(ArrayType *tenants);
extern void	  TenantsForgetUnused(void);
extern bool	  TenantsAnyBound(void);
extern uint64 TenantsVersion(void);

#endif /* TASKQ_TENANT_H */
