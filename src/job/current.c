/*
 * current.c
 *	  The job that this process runs, if it runs one; what a handler may ask
 *	  and keep.
 */
#include "taskq.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/error.h"
#include "job/current.h"

PG_FUNCTION_INFO_V1(taskq_current_job);
PG_FUNCTION_INFO_V1(taskq_raise_permanent);
PG_FUNCTION_INFO_V1(taskq_raise_retryable);

/* A handler may run jobs by hand, so there can be several, the last one on top. */
#define MAX_NESTED 16

/* What a job's values were before a subtransaction changed them. */
typedef struct Before
{
	struct Before  *outer; /* of the next level below that changed them */
	int				level; /* of the subtransaction */
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
 * A handler's checkpoint and progress are set in the job in memory; the settle
 * writes them with the rest of its row, in the same commit.  So that they belong
 * to what the handler does, a subtransaction that is rolled back, be it a
 * block's in the handler or that of the whole run, takes its own with it.
 */

static void
Forget(struct varlena *value, const struct varlena *still_used, const struct varlena *also_used)
{
	if (value != NULL && value != still_used && value != also_used)
		pfree(value);
}

/* The subtransaction is rolled back: what it found is true again. */
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

/* The subtransaction has become part of the one around it. */
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

/* A procedure has ended one of its transactions. */
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

/* Remember the job's values as they were before this transaction or subtransaction. */
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

/* The job that runs on top, or NULL. */
static Current *
Top(void)
{
	return n_current == 0 || currents[n_current - 1].job == NULL ? NULL : &currents[n_current - 1];
}

/* Set what is not NULL in the job that runs; false: none does. */
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
 * A job begins to run; how many there were before, for CurrentReset().  It must
 * live until it is settled, and so must the current memory context.  NULL stands
 * for code that is not to know of what runs below it.
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

/* The correlation id of the job that runs, which the jobs it enqueues inherit. */
struct varlena *
CurrentCorrelation(void)
{
	Current *current = Top();

	return current == NULL ? NULL : current->job->correlation_id;
}

/* The job that runs in this process, the innermost one; NULL: none. */
const TaskqJob *
CurrentJob(void)
{
	const Current *top = Top();

	return top == NULL ? NULL : top->job;
}

/* Is this a job that runs in this process, however deep? */
bool
CurrentIs(int64 job_id)
{
	for (int i = 0; i < n_current; i++)
		if (currents[i].job != NULL && currents[i].job->job_id == job_id)
			return true;
	return false;
}

/* Does users' code run in this process, of a handler or besides? */
bool
CurrentRuns(void)
{
	return n_current > 0;
}

/* A run ends by returning or raising, never by a call of its own handler. */
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

	CheckArgCount(fcinfo, 0);
	if (current == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(JobDatum(current->job));
}

/*
 * Fail the attempt.  The application's error code, the wished delay and the
 * error type travel in the error's CONSTRAINT, COLUMN and DATATYPE fields, so
 * that PL/pgSQL can raise the same by RAISE ... USING ERRCODE = 'TQ021',
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

/* What both raise_permanent() and raise_retryable() can say. */
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

	CheckArgCount(fcinfo, 4);
	said = ReadFailure(fcinfo, 2);
	RaiseForJob(false, &said);
}

Datum
taskq_raise_retryable(PG_FUNCTION_ARGS)
{
	SaidFailure said;

	CheckArgCount(fcinfo, 5);
	said = ReadFailure(fcinfo, 3);
	if (ArgMicroseconds(fcinfo, 2, "retry_in", 0) != NO_MICROSECONDS)
		said.retry_in = DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(2)));
	RaiseForJob(true, &said);
}
