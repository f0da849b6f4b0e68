/*
 * permits.h
 *	  How often each permit of a worker was used, in shared memory.
 */
#ifndef TASKQ_PERMITS_H
#define TASKQ_PERMITS_H

#include "taskq.h"

extern void	  PermitsInit(void);
extern bool	  PermitsCounted(void);
extern uint64 PermitUses(uint64 worker_key, int permit);
extern uint64 PermitUse(uint64 worker_key, int permit);

#endif /* TASKQ_PERMITS_H */
