/*
 * memory.c
 *	  How much memory a run may take, and how much this process has.
 *
 * The ceiling is the kernel's (RLIMIT_DATA): it counts all private writable
 * memory, be it allocated by PostgreSQL, by a language or by a library.  Where
 * it is reached malloc() fails, which PostgreSQL turns into an error; the
 * process lives on.  Without a ceiling, a run that takes all of the machine's
 * memory has the kernel kill a process, and that restarts the server.
 */
#include "taskq.h"

#ifdef __linux__
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

#include "utils/memutils.h"

#include "guc.h"
#include "memory.h"

#ifdef __linux__

typedef struct MemoryUse
{
	int64		data;			/* bytes of private writable memory */
	int64		resident;		/* bytes of it that are in RAM */
} MemoryUse;

/* What the kernel counts for this process; false: it does not say. */
static bool
ReadMemoryUse(MemoryUse *use)
{
	long		page = sysconf(_SC_PAGESIZE);
	unsigned long pages[6];
	char		line[256];
	int			file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t		len;

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

static rlim_t before = RLIM_INFINITY;
static bool limited = false;

static void
SetSoftLimit(rlim_t limit)
{
	struct rlimit current;

	if (getrlimit(RLIMIT_DATA, &current) != 0)
		return;
	before = current.rlim_cur;
	current.rlim_cur = Min(limit, current.rlim_max);
	(void) setrlimit(RLIMIT_DATA, &current);
}

/* From now on this process may take so much more, by taskq.job_memory_limit; false: as much as there is. */
bool
MemoryLimit(void)
{
	MemoryUse	use;

	if (taskq_job_memory_limit == 0 || limited || !ReadMemoryUse(&use))
		return false;
	SetSoftLimit((rlim_t) (use.data + (int64) taskq_job_memory_limit * 1024));
	limited = true;
	return true;
}

/* From now on as much as before: what settles a run must not fail for want of memory. */
void
MemoryUnlimit(void)
{
	if (!limited)
		return;
	SetSoftLimit(before);
	limited = false;
}

/* Bytes of memory that are this process's alone. */
int64
MemoryUsed(void)
{
	MemoryUse	use;

	if (ReadMemoryUse(&use))
		return use.resident;
	return (int64) MemoryContextMemAllocated(TopMemoryContext, true);
}

#else							/* elsewhere guc.c refuses the setting */

bool
MemoryLimit(void)
{
	return false;
}

void
MemoryUnlimit(void)
{
}

int64
MemoryUsed(void)
{
	return (int64) MemoryContextMemAllocated(TopMemoryContext, true);
}

#endif
