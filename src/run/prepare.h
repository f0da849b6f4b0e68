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

/* A handler that is ready to be called.  It is kept while the registry does not change. */
typedef struct ReadyHandler
{
	Oid				  function; /* hash key */
	FmgrInfo		  flinfo;
	Expr			 *call;		   /* planned expression f($1), with f inlined if possible; NULL if f is not in SQL */
	CachedExpression *cached;	   /* owner of "call"; NULL if not in SQL, or if made for one run */
	char			 *search_path; /* search_path with which "cached" was made */
} ReadyHandler;

extern bool			 PrepareRun(Run *run, const GivenHandler *given);
extern Oid			 RunArgumentType(const Run *run);
extern void			 RunCheckFunction(const Run *run);
extern ReadyHandler *RunMakeReady(const Run *run, bool nested);

#endif /* TASKQ_PREPARE_H */
