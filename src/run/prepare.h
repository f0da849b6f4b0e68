/*
 * prepare.h
 *	  Prepare a run.
 */
#ifndef TASKQ_PREPARE_H
#define TASKQ_PREPARE_H

#include "taskq.h"

#include "fmgr.h"
#include "nodes/primnodes.h"
#include "utils/plancache.h"

#include "run/call.h"

/* A handler that the caller names instead of the registered one. */
typedef struct GivenHandler
{
	Oid			function;
	HandlerForm form;
} GivenHandler;

/* A handler made ready to be called; kept while the catalog stays the same. */
typedef struct ReadyHandler
{
	Oid				  function; /* hash key */
	FmgrInfo		  flinfo;
	Expr			 *call;		   /* f($1), with its body for f if that can be; NULL: not in SQL */
	CachedExpression *cached;	   /* that the call is from; NULL: of this run alone */
	char			 *search_path; /* that its body was read with */
} ReadyHandler;

extern bool			 PrepareRun(Run *run, const GivenHandler *given);
extern Oid			 RunArgumentType(const Run *run);
extern void			 RunCheckFunction(const Run *run);
extern ReadyHandler *RunMakeReady(const Run *run, bool nested);

#endif /* TASKQ_PREPARE_H */
