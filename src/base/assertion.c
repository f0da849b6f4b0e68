/*
 * assertion.c
 *	  Test builds only: a failed assertion ends the process, as the server's own do.
 */
#include "taskq.h"

#ifdef TASKQ_OWN_ASSERTIONS

#include <unistd.h>

void
AssertionFailed(const char *condition, const char *file, int line)
{
	write_stderr("TRAP: failed Assert(\"%s\"), File: \"%s\", Line: %d, PID: %d\n", condition, file, line, (int) getpid());
	abort();
}

#endif /* TASKQ_OWN_ASSERTIONS */
