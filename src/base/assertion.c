/*
 * assertion.c
 *	  Test builds only: a failed assertion ends the process, as the server's own do.
 */
#include "taskq.h"

#include <unistd.h>

#ifdef TASKQ_OWN_ASSERTIONS

void
AssertionFailed(const char *condition, const char *file, int line)
{
	write_stderr("TRAP: failed Assert(\"%s\"), File: \"%s\", Line: %d, PID: %d\n", condition, file, line, (int) getpid());
	abort();
}

#endif
