/*
 * wake.h
 *	  What this transaction tells other processes when it ends.
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
extern void WakeLeft(int32 route_id);
extern void WakeLocked(int32 route_id);
extern void WakeWorker(uint64 worker_key);
extern void WakeCancel(int64 job_id);
extern void WakeLauncher(Oid dboid);
extern void WakeUnblock(Oid dboid);

/* wake_now.c: at once, not at commit */
extern int	WakeWaiters(Oid dboid, int32 route_id, int n);
extern void WakeAllWaiters(Oid dboid);
extern void WakeForWorker(uint64 worker_key);
extern void WakeForLimit(uint64 limit_key);
extern void WakeEventReaders(void);
extern void WakeCancelledRun(Oid dboid, int64 job_id);
extern void WakeUnblockNow(Oid dboid, int count);
extern void WakeLauncherNow(Oid dboid);
extern bool WakeBringForward(pg_atomic_uint64 *place, TimestampTz moment);

#endif /* TASKQ_WAKE_H */
