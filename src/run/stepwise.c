/*
 * stepwise.c
 *	  Run a procedure, which commits by itself.
 *
 * What the procedure has committed stays even if the procedure fails later, so a job
 * with a procedure runs at least once, not exactly once.  Its claim is committed in a
 * transaction of its own: the job's row becomes running and has a worker and an
 * epoch, as for an external worker.  Then the procedure makes its transactions.  The
 * settle is one more transaction, which checks the epoch.  The claim has no lease;
 * lease.c decides when it is over.
 */
#include "taskq.h"

#include <limits.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "base/clock.h"
#include "funcapi.h"
#include "base/guc.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "config/pause.h"
#include "job/built.h"
#include "job/fence.h"
#include "job/frames.h"
#include "job/transition.h"
#include "run/dispatch.h"
#include "run/prepare.h"
#include "run/reset.h"
#include "run/stepwise.h"
#include "run/unwrap.h"
#include "store/catalog.h"
#include "store/owner.h"

/* claim -------------------------------------------------------------------- */

static void
SetForSession(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
}

/*
 * Store the claim and commit it.  The handler's settings are set for the session,
 * because they must stay in force in all transactions of the procedure.
 */
static void
CommitClaim(Run *run)
{
	MemoryContext context = CurrentMemoryContext;
	OwnerScope	  scope;

	Assert(run->form.stepwise && run->job.state == JOB_RUNNING && !run->job.is_stored);
	ResetBeforeRun();
	run->outer_frames = FrameBegin(&run->job, false);
	FrameListen(true);

	/* Hold interrupts, lest an error leave it open whether the job is claimed. */
	HOLD_INTERRUPTS();
	SetForSession("search_path", run->search_path);
	if (run->lock_timeout != NO_MICROSECONDS)
		SetForSession("lock_timeout", psprintf("%dms", (int) Min((run->lock_timeout + 999) / 1000, INT_MAX)));
	OwnerEnter(&scope);
	run->job.state = JOB_AVAILABLE;
	PushActiveSnapshot(GetTransactionSnapshot()); /* to detoast a large payload */
	JobChange(&run->jobs, &run->job, JOB_RUNNING);
	JobKeep(&run->job);
	PopActiveSnapshot();
	run->job.is_stored = true;
	StoreClose(&run->jobs, true);
	if (run->on_trial)
		TrialFailed(run->task_type); /* assumed until it completes: the trial's lock ends with this transaction */
	OwnerLeave(&scope);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	RESUME_INTERRUPTS();
}

/* call --------------------------------------------------------------------- */

/* A receiver of the row that a procedure with a second argument returns. */
typedef struct ResultReceiver
{
	DestReceiver  pub;
	Run			 *run;
	MemoryContext context;
} ResultReceiver;

static bool
ReceiveResult(TupleTableSlot *slot, DestReceiver *self)
{
	ResultReceiver *receiver = (ResultReceiver *) self;
	Run			   *run = receiver->run;
	MemoryContext	old = MemoryContextSwitchTo(receiver->context);

	run->result = slot_getattr(slot, 1, &run->result_is_null);
	if (!run->result_is_null)
		run->result = PointerGetDatum(PG_DETOAST_DATUM_COPY(run->result));
	MemoryContextSwitchTo(old);
	return true;
}

static void
StartReceiving(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
StopReceiving(DestReceiver *self)
{
}

/* Return whether the procedure has a second argument, INOUT or OUT, for its result. */
static bool
ReturnsResult(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid		 *types;
	char	**names;
	char	 *modes;
	int		  n;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("handler procedure with OID %u does not exist", function)));
	n = get_func_arg_info(tuple, &types, &names, &modes);
	ReleaseSysCache(tuple);
	return n > 1;
}

/* Make the statement CALL procedure($1), with an argument for the result if the procedure has one. */
static char *
CallStatement(const Run *run)
{
	return psprintf(ReturnsResult(run->function) ? "CALL %s($1, NULL::pg_catalog.jsonb)" : "CALL %s($1)",
					quote_qualified_identifier(get_namespace_name(get_func_namespace(run->function)),
											   get_func_name(run->function)));
}

/*
 * Run the procedure in the same way as the CALL of a client: through a top-level
 * portal, which takes the snapshots of each transaction.  All that the portal needs
 * is in the current memory context, which outlives the procedure's transactions.
 */
static void
CallThroughPortal(Run *run)
{
	Oid			   type = run->form.takes_job ? CatalogJobType() : JSONBOID;
	char		  *sql;
	List		  *statements;
	ParamListInfo  params = makeParamList(1);
	Portal		   portal;
	ResultReceiver receiver = {
		.pub = { ReceiveResult, StartReceiving, StopReceiving, StopReceiving, DestNone },
		.run = run,
		.context = CurrentMemoryContext,
	};

	RunCheckFunction(run);
	run->result_is_null = true;
	sql = CallStatement(run);
	PushActiveSnapshot(GetTransactionSnapshot());
	params->params[0].value = RunArgument(run);
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = type;
	statements = pg_analyze_and_rewrite_fixedparams(linitial_node(RawStmt, pg_parse_query(sql)), sql, &type, 1, NULL);
	statements = pg_plan_queries(statements, sql, 0, NULL);
	PopActiveSnapshot();

	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, sql, CMDTAG_CALL, statements, NULL);
	PortalStart(portal, params, 0, InvalidSnapshot);
	PortalRun_compat(portal, &receiver.pub);
	PortalDrop(portal, false);
}

/* Call the procedure.  Afterwards no transaction is in progress, and run->error has its error, if any. */
static void
CallProcedure(Run *run)
{
	MemoryContext		 context = CurrentMemoryContext;
	ErrorContextCallback callback = { .callback = RunDescribe, .arg = run, .previous = error_context_stack };
	const Run			*outer = RunEnter(run);

	run->scope = BuiltNewScope();
	(void) BuiltEnter(run->scope);
	PG_TRY();
	{
		BeginJobTransaction();
		MemoryContextSwitchTo(context);
		error_context_stack = &callback;
		RunSetBounds(run);
		CallThroughPortal(run);

		/* Commit the procedure's last transaction, which may fail. */
		CommitTransactionCommand();
		RunLiftBounds(run);
	}
	PG_CATCH();
	{
		RunLiftBounds(run);
		MemoryContextSwitchTo(context);
		run->error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		PortalErrorCleanup();
		(void) FrameAppend(ERROR, run->error->sqlerrcode, run->error->message);
	}
	PG_END_TRY();
	BuiltLeave(0);
	RunLeave(run, outer);
	FrameListen(false);
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(context);
}

/* Commit the claim of the job and run its procedure.  The result or error is in the run. */
void
StepwiseCall(Run *run)
{
	CommitClaim(run);
	CallProcedure(run);
	ResetAfterSteps();
}

/* settle ------------------------------------------------------------------- */

/* Evaluate the procedure's result as that of a function: failure(), for example, becomes run->error. */
static void
UnwrapResult(Run *run)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	uint64		  outer_scope;

	if (run->error != NULL || run->result_is_null)
		return;
	BeginInternalSubTransaction("taskq");
	MemoryContextSwitchTo(context);
	outer_scope = BuiltEnter(run->scope);
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		ResultUnwrap(run);
		PopActiveSnapshot();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		run->error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	BuiltLeave(outer_scope);
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

/*
 * Begin the transaction of the settle, and lock and read the job's row.  Returns
 * false if the claim is no longer in force, because somebody else has settled it; a
 * transaction is in progress then, too.
 */
bool
StepwiseReclaim(Run *run)
{
	MemoryContext context = CurrentMemoryContext;
	TaskqJob	  before = run->job;
	OwnerScope	  scope;
	bool		  held;

	BeginJobTransaction();
	MemoryContextSwitchTo(context);
	UnwrapResult(run);
	OwnerEnter(&scope);
	StoreOpenRel(&run->jobs, REL_JOBS);
	held = FindClaim(&run->jobs, &run->job, before.job_id, before.epoch, OUTCOME_NONE, CALLER_IS_TASKQ, GRIP_LOCK) == CLAIM_HELD;
	if (!held)
		StoreClose(&run->jobs, true);
	OwnerLeave(&scope);
	if (!held)
	{
		/* Abort, because UnwrapResult() may have enqueued the steps of a decision. */
		AbortCurrentTransaction();
		BeginJobTransaction();
		MemoryContextSwitchTo(context);
		run->job = before;
		ereport(LOG,
				(errcode(ERRCODE_TQ_STALE_LEASE),
				 errmsg("job " INT64_FORMAT " was settled by somebody else while its procedure ran", before.job_id)));
		return false;
	}
	run->job.runs_here = before.runs_here;
	run->job.handler_version = before.handler_version;
	return true;
}
