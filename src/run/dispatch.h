/*
 * dispatch.h
 *	  Running one claimed job in this process.
 */
#ifndef TASKQ_DISPATCH_H
#define TASKQ_DISPATCH_H

#include "taskq.h"

#include "claim/claim.h"
#include "config/handler.h"

extern void BeginJobTransaction(void);
extern int	DispatchNext(const ClaimRequest *request);

/* A handler that the caller names instead of the registered one. */
typedef struct GivenHandler
{
	Oid			function;
	HandlerForm form;
} GivenHandler;

/* How a run in the caller's own transaction ended. */
typedef struct RunReport
{
	int64			job_id;
	char			task_type[TASKQ_NAME_MAX + 1];
	const char	   *state;
	struct varlena *result;
	const char	   *error;
} RunReport;

extern bool DispatchHere(const ClaimRequest *request, int64 job_id, const GivenHandler *given, RunReport *report);

#endif /* TASKQ_DISPATCH_H */
