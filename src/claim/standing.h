/*
 * standing.h
 *	  Deciding whether a worker id may claim jobs at all.
 */
#ifndef TASKQ_STANDING_H
#define TASKQ_STANDING_H

#include "taskq.h"

#include "claim/external_worker.h"

extern char				  *SessionWorkerId(void);
extern void				   StandingCheckSession(const WorkerName *name);
extern void				   StandingCheckInstance(const WorkerName *name);
extern void				   StandingRefuseReserved(const char *worker_id);
extern void				   StandingOf(const WorkerName *name, ArrayType *narrow, ExternalWorker *worker);
extern void				   StandingRead(const WorkerName *name, ArrayType *narrow, bool of_session, ExternalWorker *worker);
extern ReasonCode		   StandingWhyNot(const ExternalWorker *worker, const ArrayType *narrow);
TASKQ_NORETURN extern void StandingRefuseUnknown(const WorkerName *name);
TASKQ_NORETURN extern void StandingRefuse(const WorkerName *name, const ExternalWorker *worker, bool names_types);
TASKQ_NORETURN extern void StandingRefuseReplaced(const WorkerName *name, TimestampTz registered_at);
TASKQ_NORETURN extern void StandingRefuseOthers(const WorkerName *name, Oid registered_by);

#endif /* TASKQ_STANDING_H */
