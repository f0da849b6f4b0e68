/*
 * current.c
 *	  The job that this process runs, and what its handler may read and store.
 */
#include "taskq.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/error.h"
#include "base/signature.h"
#include "job/current.h"

PG_FUNCTION_INFO_V1(taskq_current_job);
PG_FUNCTION_INFO_V1(taskq_raise_permanent);
PG_FUNCTION_INFO_V1(taskq_raise_retryable);

/*
 * A handler may run jobs by hand, so there may be several current jobs.  The last
 * is on top.
 */
#define MAX_NESTED 16

/* The values of a job before a subtransaction changed them. */
typedef struct Before
{
	struct Before  *outer; /* of the next outer level that changed them */
	int				level; /* nesting level of the subtransaction */
	struct varlena *checkpoint;
	struct varlena *progress;
} Before;

typedef struct Current
{
	TaskqJob	 *job;
	MemoryContext context; /* lives as long as the job */
	Before		 *before;
} Current;

static Current currents[MAX_NESTED];
static int	   n_current = 0;

/* saved values ------------------------------------------------------------- */

/*
 * A handler's checkpoint and progress are set in the job in memory.  The settle
 * writes them with the rest of the row, in the same commit.  They belong to the
 * handler's work, so if a subtransaction is rolled back, values set in it are lost.
 * This holds for blocks in the handler and for the subtransaction of the whole run.
 */

static void
Forget(struct varlena *value, const struct varlena *still_used, const struct varlena *also_used)
{
	if (value != NULL && value != still_used && value != also_used)
		pfree(value);
}

/* Restore the values from before a subtransaction that is rolled back. */
static void
Restore(Current *current)
{
	Before *before = current->before;

	Forget(current->job->checkpoint, before->checkpoint, NULL);
	Forget(current->job->progress, before->progress, NULL);
	current->job->checkpoint = before->checkpoint;
	current->job->progress = before->progress;
	current->before = before->outer;
	pfree(before);
}

/* Pass the saved values on to the parent of a subtransaction that commits. */
static void
HandDown(Current *current, int level)
{
	Before *before = current->before;
	Before *outer = before->outer;

	if (outer == NULL || outer->level < level)
	{
		before->level = level;
		return;
	}
	Forget(before->checkpoint, outer->checkpoint, current->job->checkpoint);
	Forget(before->progress, outer->progress, current->job->progress);
	current->before = outer;
	pfree(before);
}

static void
EndSubtransaction(SubXactEvent event, SubTransactionId subxact, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (int i = 0; i < n_current; i++)
	{
		if (currents[i].before == NULL || currents[i].before->level < level)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			Restore(&currents[i]);
		else
			HandDown(&currents[i], level - 1);
	}
}

/* Handle the end of a transaction of a procedure. */
static void
EndTransaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	for (int i = 0; i < n_current; i++)
	{
		Current *current = &currents[i];

		while (event == XACT_EVENT_ABORT && current->before != NULL)
			Restore(current);
		current->before = NULL;
	}
}

/* Save the job's values as they were before this transaction or subtransaction. */
static void
RememberBefore(Current *current)
{
	static bool registered = false;
	int			level = GetCurrentTransactionNestLevel();
	Before	   *before;

	if (!registered)
	{
		RegisterSubXactCallback(EndSubtransaction, NULL);
		RegisterXactCallback(EndTransaction, NULL);
	}
	registered = true;
	if (current->before != NULL && current->before->level == level)
		return;
	before = MemoryContextAlloc(current->context, sizeof(Before));
	before->outer = current->before;
	before->level = level;
	before->checkpoint = current->job->checkpoint;
	before->progress = current->job->progress;
	current->before = before;
}

static void
Save(Current *current, struct varlena **value, const struct varlena *before, struct varlena *saved)
{
	MemoryContext old = MemoryContextSwitchTo(current->context);

	saved = PG_DETOAST_DATUM_COPY(PointerGetDatum(saved));
	MemoryContextSwitchTo(old);
	Forget(*value, before, NULL);
	*value = saved;
}

/* Return the job on top, or NULL. */
static Current *
Top(void)
{
	return n_current == 0 || currents[n_current - 1].job == NULL ? NULL : &currents[n_current - 1];
}

/* Set the values that are not NULL in the running job; returns false if there is none. */
bool
CurrentSave(struct varlena *checkpoint, struct varlena *progress)
{
	Current *current;

	current = Top();
	if (current == NULL)
		return false;
	RememberBefore(current);
	if (checkpoint != NULL)
		Save(current, &current->job->checkpoint, current->before->checkpoint, checkpoint);
	if (progress != NULL)
		Save(current, &current->job->progress, current->before->progress, progress);
	return true;
}

/* who runs what ------------------------------------------------------------ */

/*
 * Note that a job begins to run; returns the previous depth, for CurrentReset().
 * The job and the current memory context must live until the job is settled.  NULL
 * stands for code that must not see the jobs below it.
 */
int
CurrentPush(TaskqJob *job)
{
	if (n_current == MAX_NESTED)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("handlers run jobs within jobs more than %d deep", MAX_NESTED)));
	currents[n_current].job = job;
	currents[n_current].context = CurrentMemoryContext;
	currents[n_current].before = NULL;
	return n_current++;
}

void
CurrentReset(int depth)
{
	n_current = depth;
}

/* Return the correlation id of the running job.  The jobs that it enqueues inherit it. */
struct varlena *
CurrentCorrelation(void)
{
	Current *current = Top();

	return current == NULL ? NULL : current->job->correlation_id;
}

/* Return the innermost job that this process runs, or NULL. */
const TaskqJob *
CurrentJob(void)
{
	const Current *top = Top();

	return top == NULL ? NULL : top->job;
}

/* Does this process run this job, at any depth? */
bool
CurrentIs(int64 job_id)
{
	for (int i = 0; i < n_current; i++)
		if (currents[i].job != NULL && currents[i].job->job_id == job_id)
			return true;
	return false;
}

/* Does this process run users' code, in a handler or another function? */
bool
CurrentRuns(void)
{
	return n_current > 0;
}

/*
 * Refuse a call by a handler that would settle its own job.  A run ends when the
 * handler returns or raises an error.
 */
void
CurrentRefuse(int64 job_id, const char *what)
{
	if (!CurrentIs(job_id))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TQ_INVALID_TRANSITION),
			 errmsg("a handler cannot %s the job that it runs", what),
			 errhint("Return a result to complete it; call taskq.raise_permanent() or taskq.raise_retryable() to fail it.")));
}

Datum
taskq_current_job(PG_FUNCTION_ARGS)
{
	Current *current = Top();

	CheckCall(fcinfo);
	if (current == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(JobDatum(current->job));
}

/*
 * Fail the attempt.  The application's error code, the requested delay and the
 * error type are passed in the CONSTRAINT, COLUMN and DATATYPE fields of the error.
 * So PL/pgSQL can raise the same error by RAISE ... USING ERRCODE = 'TQ021',
 * CONSTRAINT = 'code', COLUMN = '30 s'.
 */
void
RaiseForJob(bool retryable, const SaidFailure *said)
{
	ereport(ERROR,
			(errcode(retryable ? ERRCODE_TQ_RETRYABLE : ERRCODE_TQ_PERMANENT),
			 errmsg("%s", said->message != NULL ? said->message : "the handler failed"),
			 said->detail != NULL ? errdetail("%s", said->detail) : 0,
			 said->hint != NULL ? errhint("%s", said->hint) : 0,
			 said->code != NULL ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, said->code) : 0,
			 said->type != NULL ? err_generic_string(PG_DIAG_DATATYPE_NAME, said->type) : 0,
			 said->retry_in != NULL ? err_generic_string(PG_DIAG_COLUMN_NAME, said->retry_in) : 0));
}

/* Read the arguments that raise_permanent() and raise_retryable() have in common. */
static SaidFailure
ReadFailure(FunctionCallInfo fcinfo, int detail_arg)
{
	SaidFailure said = { 0 };

	said.message = ArgErrorTextOrNull(fcinfo, 0);
	said.code = ArgErrorTextOrNull(fcinfo, 1);
	said.detail = ArgErrorTextOrNull(fcinfo, detail_arg);
	said.hint = ArgErrorTextOrNull(fcinfo, detail_arg + 1);
	return said;
}

Datum
taskq_raise_permanent(PG_FUNCTION_ARGS)
{
	SaidFailure said;

	CheckCall(fcinfo);
	said = ReadFailure(fcinfo, 2);
	RaiseForJob(false, &said);
}

Datum
taskq_raise_retryable(PG_FUNCTION_ARGS)
{
	SaidFailure said;

	CheckCall(fcinfo);
	said = ReadFailure(fcinfo, 3);
	if (ArgMicroseconds(fcinfo, 2, "retry_in", 0) != NO_MICROSECONDS)
		said.retry_in = DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(2)));
	RaiseForJob(true, &said);
}
