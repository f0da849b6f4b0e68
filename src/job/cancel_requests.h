/*
 * cancel_requests.h
 *	  Requests to cancel running jobs.
 */
#ifndef TASKQ_CANCEL_REQUESTS_H
#define TASKQ_CANCEL_REQUESTS_H

#include "taskq.h"

#include "job/transition.h"

extern bool	  CancelRequested(int64 job_id, char **reason);
extern uint64 CancelCount(void);
extern bool	  CancelAnyRequest(void);
extern void	  CancelRequest(int64 job_id, const char *reason);
extern void	  CancelObserve(const Transition *transition);
extern void	  CancelForgetFree(int64 job_id);

#endif /* TASKQ_CANCEL_REQUESTS_H */
