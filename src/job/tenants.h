/*
 * tenants.h
 *	  The tenants whose jobs the caller may see or enqueue.
 */
#ifndef TASKQ_TENANTS_H
#define TASKQ_TENANTS_H

#include "taskq.h"

#include "utils/array.h"

extern ArrayType	  *TenantsSeen(bool without_access);
extern ArrayType	  *TenantsProduced(void);
extern struct varlena *TenantToEnqueue(struct varlena *tenant);
extern bool			   TenantsSeeRunning(ArrayType *tenants, int64 job_id);

#endif /* TASKQ_TENANTS_H */
