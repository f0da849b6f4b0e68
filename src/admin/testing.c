/*
 * testing.c
 *	  Functions for tests: they misbehave as handlers, make the ready list wrong, draw an
 *	  epoch, or count what claims look at.  They exist only in builds with TESTING=1, and are not part of the
 *	  extension: tests create the SQL functions themselves.
 *
 *	  CREATE FUNCTION misbehave(how text, amount bigint DEFAULT 0) RETURNS void
 *	      LANGUAGE C AS 'taskq', 'taskq_test_misbehave';
 *	  CREATE FUNCTION misbehave_list(how text) RETURNS void
 *	      LANGUAGE C AS 'taskq', 'taskq_test_ready_list';
 *	  CREATE FUNCTION draw_epoch() RETURNS bigint
 *	      LANGUAGE C AS 'taskq', 'taskq_test_draw_epoch';
 *	  CREATE FUNCTION looks() RETURNS bigint
 *	      LANGUAGE C AS 'taskq', 'taskq_test_looks';
 *	  CREATE FUNCTION tries() RETURNS bigint
 *	      LANGUAGE C AS 'taskq', 'taskq_test_tries';
 */
#include "taskq.h"

#ifdef TASKQ_TESTING

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/signature.h"
#include "claim/heads.h"
#include "claim/take.h"
#include "job/fence.h"
#include "ready/ready.h"
#include "shared/blame.h"

PG_FUNCTION_INFO_V1(taskq_test_misbehave);
PG_FUNCTION_INFO_V1(taskq_test_ready_list);
PG_FUNCTION_INFO_V1(taskq_test_draw_epoch);
PG_FUNCTION_INFO_V1(taskq_test_looks);
PG_FUNCTION_INFO_V1(taskq_test_tries);

static void
DereferenceNull(int64 amount)
{
	volatile int *nowhere = NULL;

	*nowhere = 1;
}

static void
Abort(int64 amount)
{
	abort();
}

static void
Panic(int64 amount)
{
	ereport(PANIC, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("panic on purpose")));
}

static void
Fatal(int64 amount)
{
	ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("fatal on purpose")));
}

/* Die as by the kernel's out-of-memory killer. */
static void
Kill(int64 amount)
{
	kill(MyProcPid, SIGKILL);
	pause();
}

static void
Exit(int64 amount)
{
	exit((int) amount);
}

static void
ExitAtOnce(int64 amount)
{
	_exit((int) amount);
}

/* Ignore all interrupts until the test creates the file taskq_test_hear in the data directory. */
static void
Deaf(int64 amount)
{
	while (access("taskq_test_hear", F_OK) != 0)
		pg_usleep(1000);
}

/* Allocate so many bytes until the end of the transaction, and write to them. */
static void
Allocate(int64 amount)
{
	for (int64 left = amount; left > 0; left -= 1024 * 1024)
	{
		size_t size = (size_t) Min(left, 1024 * 1024);

		memset(MemoryContextAlloc(TopTransactionContext, size), 1, size);
	}
}

/* Allocate so many bytes by malloc(), write to them, and never free them. */
static void
Leak(int64 amount)
{
	char *memory = malloc((size_t) amount);

	if (memory == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	for (int64 i = 0; i < amount; i += 4096)
		((volatile char *) memory)[i] = 1;
}

/* Allocate all memory that the run may have, except so many bytes, and never free it. */
static void
Fill(int64 amount)
{
	struct rlimit limit;
	void		 *left = malloc((size_t) amount);
	void *volatile taken; /* the compiler may leave out a malloc() whose result is not used */

	if (getrlimit(RLIMIT_DATA, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("this process may take all there is")));
	for (size_t size = 1024 * 1024; size >= 16; size /= 2)
		do
			taken = malloc(size);
		while (taken != NULL);
	free(left);
}

/* Abort as a library does that cannot handle a failed malloc(). */
static void
FillAndAbort(int64 amount)
{
	Fill(0);
	abort();
}

/* Overwrite shared memory and abort, as a process with memory corruption may do. */
static void
ScribbleAndAbort(int64 amount)
{
	BlameScribble();
	abort();
}

/* Raise messages that are not valid in the server's encoding, as a library may do. */
static void
Mumble(int64 amount)
{
	ereport(WARNING, (errcode(ERRCODE_WARNING), errmsg("caf\xe9 warns")));
	ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("caf\xe9 fails"), errdetail("\xff\xfe")));
}

static const struct
{
	const char *how;
	void (*function)(int64 amount);
} ways[] = {
	{ "null", DereferenceNull },
	{ "abort", Abort },
	{ "panic", Panic },
	{ "fatal", Fatal },
	{ "kill", Kill },
	{ "exit", Exit },
	{ "_exit", ExitAtOnce },
	{ "deaf", Deaf },
	{ "allocate", Allocate },
	{ "leak", Leak },
	{ "fill", Fill },
	{ "fill and abort", FillAndAbort },
	{ "scribble and abort", ScribbleAndAbort },
	{ "mumble", Mumble },
};

Datum
taskq_test_misbehave(PG_FUNCTION_ARGS)
{
	char *how;

	CheckCall(fcinfo);
	how = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	for (int i = 0; i < lengthof(ways); i++)
		if (strcmp(ways[i].how, how) == 0)
			ways[i].function(PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1));
	PG_RETURN_VOID();
}

/* SQL-callable, for tests: make the ready list wrong; see ReadyMisbehave(). */
Datum
taskq_test_ready_list(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	if (!PG_ARGISNULL(0) && ReadyPresent())
		ReadyMisbehave(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* Draw an epoch, to compare it with those of claims before and after. */
Datum
taskq_test_draw_epoch(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	PG_RETURN_INT64(EpochNext());
}

/* Return how many jobs the claims of this session have tried to start. */
Datum
taskq_test_tries(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	PG_RETURN_INT64(TakeTries());
}

/* Return at how many routes the claims of this session have looked. */
Datum
taskq_test_looks(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	PG_RETURN_INT64(HeadsLooks());
}

#endif /* TASKQ_TESTING */
