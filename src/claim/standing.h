/*
 * standing.h
 *	  Deciding whether a worker id may claim jobs at all.
 */
#ifndef TASKQ_STANDING_H
#define TASKQ_STANDING_H

#include "taskq.h"

#include "claim/external_worker.h"

extern char				  *SessionWorkerId(void);
extern void				   StandingCheckSession(const char *worker_id);
extern void				   StandingRefuseReserved(const char *worker_id);
extern void				   StandingOf(const char *worker_id, ArrayType *narrow, ExternalWorker *worker);
extern void				   StandingRead(const char *worker_id, ArrayType *narrow, bool of_session, ExternalWorker *worker);
extern ReasonCode		   StandingWhyNot(const ExternalWorker *worker, const ArrayType *narrow);
TASKQ_NORETURN extern void StandingRefuseUnknown(const char *worker_id);
TASKQ_NORETURN extern void StandingRefuse(const char *worker_id, const ExternalWorker *worker, bool names_types);
TASKQ_NORETURN extern void StandingRefuseReplaced(const char *worker_id, TimestampTz registered_at);
TASKQ_NORETURN extern void StandingRefuseOthers(const char *worker_id, Oid registered_by);

#endif /* TASKQ_STANDING_H */
