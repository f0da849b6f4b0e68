/*
 * prepare.c
 *	  Prepare a run: read from the registry what it needs, and make its handler
 *	  ready to be called.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/guc.h"
#include "config/handler.h"
#include "config/route.h"
#include "config/stale.h"
#include "run/call.h"
#include "run/prepare.h"
#include "store/catalog.h"

static MemoryContext ready_context = NULL;
static HTAB			*ready_handlers = NULL;
static uint64		 ready_version = 0;

/* registry ----------------------------------------------------------------- */

/*
 * Fill in the run from the registry or, if "given" is not NULL, for the handler that
 * the caller names.  Returns false if the registered handler cannot run now or not
 * in this session.
 */
bool
PrepareRun(Run *run, const GivenHandler *given)
{
	const TaskqHandler *handler;

	strlcpy(run->task_type, RouteById(run->job.route_id)->task_type, sizeof(run->task_type));
	handler = HandlerFind(run->task_type);
	if (given != NULL)
	{
		run->is_given = true;
		run->function = given->function;
		run->form = given->form;
		run->search_path = pstrdup(namespace_search_path);
		run->timeout = run->job.timeout != NULL ? IntervalMicroseconds(run->job.timeout) : 0;
		run->lock_timeout = NO_MICROSECONDS;
		return true;
	}
	if (handler == NULL || handler->signature == NULL || strcmp(handler->status, "ok") != 0 ||
		handler->run_as != GetSessionUserId())
		return false;
	run->function = handler->function;
	run->form = handler->form;
	run->job.runs_here = true;
	run->job.handler_version = handler->version == NULL ? NULL : pstrdup(handler->version);
	run->shares = handler->share_commit && !handler->on_trial;
	run->commits_async = handler->async_commit;
	run->on_trial = handler->on_trial;
	run->lock_timeout = handler->lock_timeout;
	run->search_path = pstrdup(handler->search_path != NULL ? handler->search_path : "");
	run->timeout = (int64) taskq_job_timeout * 1000;
	if (run->job.timeout != NULL)
		run->timeout = IntervalMicroseconds(run->job.timeout);
	else if (handler->timeout != NO_MICROSECONDS)
		run->timeout = handler->timeout;
	return true;
}

/* make ready --------------------------------------------------------------- */

static void
Forget(ReadyHandler *ready)
{
	if (ready->cached == NULL)
		return;
	FreeCachedExpression(ready->cached);
	pfree(ready->search_path);
}

static void
ForgetReadyHandlers(void)
{
	HASH_SEQ_STATUS status;
	ReadyHandler   *ready;
	HASHCTL			ctl;

	if (ready_handlers != NULL)
	{
		hash_seq_init(&status, ready_handlers);
		while ((ready = hash_seq_search(&status)) != NULL)
			Forget(ready);
		ready_handlers = NULL;
	}
	if (ready_context == NULL)
		ready_context = AllocSetContextCreate(TopMemoryContext, "taskq ready handlers", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(ready_context);
	ctl.hcxt = ready_context;
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(ReadyHandler);
	ready_handlers = hash_create("taskq ready handlers", 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static bool
IsSqlFunction(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool	  is_sql;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("handler function with OID %u does not exist", function)));
	is_sql = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == SQLlanguageId;
	ReleaseSysCache(tuple);
	return is_sql;
}

Oid
RunArgumentType(const Run *run)
{
	return run->form.takes_job ? CatalogJobType() : JSONBOID;
}

/* Make the expression f($1), which is not planned yet. */
static Node *
CallExpression(const Run *run)
{
	Param *argument = makeNode(Param);

	argument->paramkind = PARAM_EXTERN;
	argument->paramid = 1;
	argument->paramtype = RunArgumentType(run);
	argument->paramtypmod = -1;
	argument->location = -1;
	return (Node *) makeFuncExpr(run->function, JSONBOID, list_make1(argument), InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

/* Raise an error if the function was replaced, since the registry was read, by one that is not a handler. */
void
RunCheckFunction(const Run *run)
{
	if (!HandlerFunctionFits(run->function, run->form))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the handler of task type \"%s\" is not a handler any more", run->task_type),
				 errhint("Give the function its former arguments and result, or register another.")));
}

/* Make a handler ready in the context "keep" or, if it is NULL, for this run only. */
static void
Prepare(const Run *run, ReadyHandler *ready, MemoryContext keep)
{
	RunCheckFunction(run);
	memset(ready, 0, sizeof(*ready));
	ready->function = run->function;
	if (!IsSqlFunction(run->function))
		fmgr_info_cxt(run->function, &ready->flinfo, keep != NULL ? keep : CurrentMemoryContext);
	else if (keep == NULL)
		ready->call = expression_planner((Expr *) CallExpression(run));
	else
	{
		ready->cached = GetCachedExpression(CallExpression(run));
		ready->call = (Expr *) ready->cached->expr;
		ready->search_path = MemoryContextStrdup(keep, run->search_path);
	}
}

/*
 * Return the run's handler, ready to be called.  It is taken from the cache, or made
 * and put there.  A nested run, one inside another handler's run, makes its own in
 * the current memory context: the cache may be out of date, and cannot be emptied
 * while one of its handlers is on the stack.
 */
ReadyHandler *
RunMakeReady(const Run *run, bool nested)
{
	ReadyHandler *ready;
	ReadyHandler  fresh;
	uint64		  version = ConfigCodeVersion();

	if (nested)
	{
		ready = palloc(sizeof(ReadyHandler));
		Prepare(run, ready, NULL);
		return ready;
	}
	if (ready_handlers == NULL || ready_version != version)
	{
		ForgetReadyHandlers();
		ready_version = version;
	}
	ready = hash_search(ready_handlers, &run->function, HASH_FIND, NULL);
	if (ready != NULL &&
		(ready->cached == NULL || (ready->cached->is_valid && strcmp(ready->search_path, run->search_path) == 0)))
		return ready;

	/* Enter it only when it is complete, because making it may fail. */
	Prepare(run, &fresh, ready_context);
	if (ready != NULL)
		Forget(ready);
	else
		ready = hash_search(ready_handlers, &run->function, HASH_ENTER, NULL);
	*ready = fresh;
	return ready;
}
