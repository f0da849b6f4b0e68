/*
 * end_leases.h
 *	  Ending claims whose leases are over.
 */
#ifndef TASKQ_END_LEASES_H
#define TASKQ_END_LEASES_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz EndLeasesDue(const WorkPast *past);
extern void		   EndLeases(WorkResult *result);
extern bool		   EndLeasesBatch(void);

#endif /* TASKQ_END_LEASES_H */
