/*
 * memory.c
 *	  How much memory a run may take, and how much this process has.
 *
 * The ceiling is the kernel's (RLIMIT_DATA): it counts all private writable
 * memory, be it allocated by PostgreSQL, by a language or by a library.  Where
 * it is reached malloc() fails, which PostgreSQL turns into an error; the
 * process lives on.  Without a ceiling, a run that takes all of the machine's
 * memory has the kernel kill a process, and that restarts the server.
 *
 * The server's own work must not fail for want of it.  A commit that fails after
 * its record is written is a PANIC, and an abort that fails is tried again by
 * the same code.  So the ceiling is lifted
 * - from PRE_COMMIT, after which no user's code runs, until the transaction's
 *   memory is freed, which is the last that a commit does;
 * - at every error, before anything unwinds, until the next statement.
 *
 * An interpreter or library that is refused memory may know no better than to
 * call abort(), which restarts the server as any crash does.  Under a ceiling
 * that ends the worker alone.
 */
#include "taskq.h"

#ifdef __linux__
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

#include "access/xact.h"
#include "executor/executor.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/guc.h"
#include "base/memory.h"

#ifdef __linux__

typedef struct MemoryUse
{
	int64 data;		/* bytes of private writable memory */
	int64 resident; /* bytes of it that are in RAM */
} MemoryUse;

/* What the kernel counts for this process; false: it does not say. */
static bool
ReadMemoryUse(MemoryUse *use)
{
	long		  page = sysconf(_SC_PAGESIZE);
	unsigned long pages[6];
	char		  line[256];
	int			  file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t		  len;

	if (file < 0)
		return false;
	len = read(file, line, sizeof(line) - 1);
	close(file);
	if (len <= 0)
		return false;
	line[len] = '\0';

	/* size, resident, shared, code, 0, data and stack */
	if (sscanf(line, "%lu %lu %lu %lu %lu %lu", &pages[0], &pages[1], &pages[2], &pages[3], &pages[4], &pages[5]) != 6)
		return false;
	use->data = (int64) pages[5] * page;
	use->resident = ((int64) pages[1] - (int64) pages[2]) * page;
	return true;
}

/* The ceiling of the run in hand. */
static enum
{
	NO_CEILING,
	IN_FORCE,
	LIFTED_TO_COMMIT,
	LIFTED_BY_ERROR
} state = NO_CEILING;
static rlim_t ceiling;
static rlim_t before; /* what the process had without it */

static void
SetSoftLimit(rlim_t limit)
{
	struct rlimit current;

	if (getrlimit(RLIMIT_DATA, &current) != 0)
		return;
	current.rlim_cur = Min(limit, current.rlim_max);
	(void) setrlimit(RLIMIT_DATA, &current);
}

static void
PutInForce(void)
{
	SetSoftLimit(ceiling);
	state = IN_FORCE;
}

/* From now on this process may take so much more, by taskq.job_memory_limit; false: as much as there is. */
bool
MemoryLimit(void)
{
	MemoryUse	  use;
	struct rlimit current;

	if (taskq_job_memory_limit == 0 || state != NO_CEILING || getrlimit(RLIMIT_DATA, &current) != 0 ||
		!ReadMemoryUse(&use))
		return false;
	before = current.rlim_cur;
	ceiling = (rlim_t) (use.data + (int64) taskq_job_memory_limit * 1024);
	PutInForce();
	return true;
}

/* The run is over: as much as before, for what settles it. */
void
MemoryUnlimit(void)
{
	if (state == IN_FORCE)
		SetSoftLimit(before);
	state = NO_CEILING;
}

/* A statement begins: whatever error there was, it has been dealt with. */
void
MemoryStatementBegins(void)
{
	if (state == LIFTED_BY_ERROR)
		PutInForce();
}

/* The level of the message that is in the making. */
static int
LevelOfMessage(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData	 *message = CopyErrorData();
	int			  level = message->elevel;

	FreeErrorData(message);
	MemoryContextSwitchTo(old);
	return level;
}

/* Called while the context of a message is put together, which is before an error is thrown. */
void
MemoryAtMessage(void)
{
	if (state == IN_FORCE)
	{
		/* else to look at it might fail itself */
		SetSoftLimit(before);
		if (LevelOfMessage() < ERROR)
		{
			PutInForce();
			return;
		}
	}
	if (state != NO_CEILING)
		state = LIFTED_BY_ERROR;
}

/* The transaction has committed, and its memory is freed. */
static void
AtTransactionFreed(void *arg)
{
	if (state == LIFTED_TO_COMMIT)
		PutInForce();
}

/* A procedure commits; whether it will have a next transaction is not known here. */
static void
AtTransactionEnd(XactEvent event, void *arg)
{
	static MemoryContextCallback callback = { .func = AtTransactionFreed };

	if (event != XACT_EVENT_PRE_COMMIT || state == NO_CEILING)
		return;
	SetSoftLimit(before);
	state = LIFTED_TO_COMMIT;
	MemoryContextRegisterResetCallback(TopTransactionContext, &callback);
}

/*
 * SIGABRT, raised by abort(), whose caller does not expect to go on.  Not where
 * malloc() has not just failed, as then the process may be damaged, and not where
 * the server's own code has no error but PANIC, or has a lock.
 */
static void
AbortUnderCeiling(SIGNAL_ARGS)
{
	bool no_memory = errno == ENOMEM;

#ifdef USE_ASSERT_CHECKING
	/* an assertion of the server's may have failed as well */
	no_memory = false;
#endif
	pqsignal(SIGABRT, SIG_DFL);
	if (state != IN_FORCE || !no_memory || CritSectionCount > 0 || InterruptHoldoffCount > 0)
		return;
	SetSoftLimit(before);
	state = LIFTED_BY_ERROR;
	ereport(FATAL,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("code of the handler aborted the process because it got no memory"),
			 errhint("Have the job do less at a time, or raise taskq.job_memory_limit.")));
}

static ExecutorStart_hook_type previous_hook = NULL;

static void
ExecutorStartForTaskq(QueryDesc *query, int flags)
{
	MemoryStatementBegins();
	if (previous_hook)
		previous_hook(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/* Called once in each background worker. */
void
MemoryInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	previous_hook = ExecutorStart_hook;
	ExecutorStart_hook = ExecutorStartForTaskq;
	pqsignal(SIGABRT, AbortUnderCeiling);
}

/* Bytes of memory that are this process's alone. */
int64
MemoryUsed(void)
{
	MemoryUse use;

	if (ReadMemoryUse(&use))
		return use.resident;
	return (int64) MemoryContextMemAllocated(TopMemoryContext, true);
}

#else /* elsewhere guc.c refuses the setting */

bool
MemoryLimit(void)
{
	return false;
}

void
MemoryUnlimit(void)
{
}

void
MemoryStatementBegins(void)
{
}

void
MemoryAtMessage(void)
{
}

void
MemoryInit(void)
{
}

int64
MemoryUsed(void)
{
	return (int64) MemoryContextMemAllocated(TopMemoryContext, true);
}

#endif
