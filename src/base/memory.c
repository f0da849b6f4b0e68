/*
 * memory.c
 *	  Limit the memory of a run, and measure the memory of this process.
 *
 * The kernel enforces the limit (RLIMIT_DATA).  It counts all private writable
 * memory, whether PostgreSQL, a language or a library allocated it.  At the limit
 * malloc() fails; PostgreSQL turns that into an error, and the process goes on.
 * Without a limit, a run that takes all memory of the machine makes the kernel kill
 * a process, and the server restarts.
 *
 * The server's own work must not fail at the limit.  An error in a commit whose
 * record is already written is a PANIC, and an error in an abort makes the server
 * run the same abort again.  So the limit is lifted
 * - from PRE_COMMIT, after which no user's code runs, until the memory of the
 *   transaction is freed, which is the last step of a commit;
 * - from the report of an error, before the stack unwinds, until the next statement.
 *
 * An interpreter or library may call abort() when malloc() fails.  That would
 * restart the server as any crash does.  Under a limit only the worker exits.
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

#include "base/compat.h"
#include "base/guc.h"
#include "base/memory.h"

#ifdef __linux__

typedef struct MemoryUse
{
	int64 data;		/* bytes of private writable memory */
	int64 resident; /* bytes of memory in RAM that is not shared */
} MemoryUse;

/* Read what the kernel counts for this process.  Returns false if that is not possible. */
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

	/* The fields are: size, resident, shared, code, 0, data and stack. */
	if (sscanf(line, "%lu %lu %lu %lu %lu %lu", &pages[0], &pages[1], &pages[2], &pages[3], &pages[4], &pages[5]) != 6)
		return false;
	use->data = (int64) pages[5] * page;
	use->resident = ((int64) pages[1] - (int64) pages[2]) * page;
	return true;
}

/* The state of the current run's limit. */
static enum
{
	NO_CEILING,		  /* there is no run, or its memory is not limited */
	IN_FORCE,		  /* the limit is set */
	LIFTED_TO_COMMIT, /* a commit is under way */
	LIFTED_BY_ERROR	  /* an error was reported, and no statement has begun since */
} state = NO_CEILING;
static rlim_t ceiling; /* the limit, in bytes */
static rlim_t before;  /* the limit of the process outside runs */

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

/*
 * Limit this process to taskq.job_memory_limit more than it has now.  Returns false
 * if no limit was set: because the setting is 0, a limit is set already, or the
 * kernel does not tell.
 */
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

/* End the limit after a run, before taskq writes its outcome. */
void
MemoryUnlimit(void)
{
	if (state == IN_FORCE)
		SetSoftLimit(before);
	state = NO_CEILING;
}

/* At the start of a statement, set a limit again that an error lifted: the handler has caught the error. */
void
MemoryStatementBegins(void)
{
	if (state == LIFTED_BY_ERROR)
		PutInForce();
}

/* Return the level of the message that is being reported. */
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

/*
 * Lift the limit if the message that is being reported is an error.  Error context
 * callbacks call this, so it happens before the error is thrown.
 */
void
MemoryAtMessage(void)
{
	if (state == IN_FORCE)
	{
		/* Lift the limit first, because LevelOfMessage() allocates memory. */
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

/* Called when the memory of a committed transaction has been freed. */
static void
AtTransactionFreed(void *arg)
{
	if (state == LIFTED_TO_COMMIT)
		PutInForce();
}

/*
 * Lift the limit for a commit that the handler, a procedure, makes.  It is set again
 * when the transaction's memory is freed, in case the procedure goes on.
 */
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
 * Signal handler of SIGABRT, which abort() raises.  Under a limit, turn it into a FATAL
 * error, which ends this process only.  Otherwise return, and abort() crashes the
 * process: if malloc() has not just failed, the process may be damaged; in a
 * critical section every error is a PANIC; and interrupts may be held off because
 * the process holds an LWLock.
 */
static void
AbortUnderCeiling(SIGNAL_ARGS)
{
	bool no_memory = errno == ENOMEM;

#ifdef USE_ASSERT_CHECKING
	/* The cause may also be a failed assertion of the server. */
	no_memory = false;
#endif
	pqsignal(SIGABRT, PG_SIG_DFL);
	if (state != IN_FORCE || !no_memory || CritSectionCount > 0 || InterruptHoldoffCount > 0)
		return;
	SetSoftLimit(before);
	state = LIFTED_BY_ERROR;
	ereport(FATAL,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("code of the handler aborted the process because it got no memory"),
			 errhint("Make the job do less at a time, or raise taskq.job_memory_limit.")));
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

/* Return the bytes of memory that this process does not share with others. */
int64
MemoryUsed(void)
{
	MemoryUse use;

	if (ReadMemoryUse(&use))
		return use.resident;
	return (int64) MemoryContextMemAllocated(TopMemoryContext, true);
}

#else /* not Linux: CheckMemoryLimit() refuses the setting */

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
