/*
 * wake.h
 *	  What is to be told to other processes when this transaction commits.
 */
#ifndef TASKQ_WAKE_H
#define TASKQ_WAKE_H

#include "taskq.h"

#include "port/atomics.h"
#include "utils/timestamp.h"

extern void WakeInit(void);
extern void WakeForJob(int32 route_id, TimestampTz run_at, TimestampTz now);
extern void WakeForEvents(void);
extern void WakeSchedulerAt(TimestampTz moment);
extern void WakeLeaseAt(TimestampTz moment);
extern void WakeConfigChanged(void);
extern void WakeClaimed(int32 route_id);
extern void WakeWorker(uint64 worker_key);
extern void WakePermit(uint64 worker_key);
extern void WakePermitHeld(uint64 worker_key);
extern void WakeCancel(int64 job_id);
extern void WakeLauncher(Oid dboid);
extern void WakeUnblock(Oid dboid);

/* at once, outside of any commit */
extern int	WakeWaiters(Oid dboid, int32 route_id, int n);
extern void WakeAllWaiters(Oid dboid);
extern void WakeForPermit(uint64 worker_key);
extern bool WakeBringForward(pg_atomic_uint64 *place, TimestampTz moment);

#endif /* TASKQ_WAKE_H */
