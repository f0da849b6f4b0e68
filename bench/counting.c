/*
 * counting.c
 *	  Counts instructions (by callgrind) and bytes of WAL in parts of the life of a
 *	  process.  Compiled, preloaded and used by bench/instructions.sh.
 *
 * A session counts while it has set counting.active.  Background workers count from
 * when the configuration files set counting.workers.  COUNTING_SIGNAL ends a part of
 * their count and begins the next; a reload would give taskq's scheduler work each time.
 * (The signal cannot begin to count: callgrind fails if it is switched on in a signal
 * handler.)  callgrind writes the instructions into its own files.  This library appends
 * to counting.log:
 *
 *	 session PID TIMES WAL	at the exit of a session that has counted
 *	 process PID PARTS TYPE	when a background worker has ended so many parts
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

#define COUNTING_SIGNAL 40 /* a real-time signal, which the server does not use */

extern void _PG_init(void);
extern void SlowClock(void); /* of slow_clock.c */

static bool	 counting_active = false;
static int	 counting_skip = 0;
static bool	 counting_workers = false;
static char *counting_log = NULL;

static bool		  instrumented = false;
static int		  begun = 0;   /* how often a session has set counting.active */
static int		  counted = 0; /* how often it has counted */
static int		  parts = 0;   /* ended parts of a background worker */
static XLogRecPtr wal_before = 0;
static uint64	  wal = 0;

static void
Log(const char *line)
{
	int file = open(counting_log, O_WRONLY | O_APPEND | O_CREAT, 0644);

	if (file < 0 || write(file, line, strlen(line)) < 0)
		write_stderr("could not write \"%s\"\n", counting_log);
	if (file >= 0)
		close(file);
}

/* Instrumentation stays on, because callgrind discards the translated code at a change. */
static void
Instrument(void)
{
	SlowClock();
	instrumented = true;
	CALLGRIND_START_INSTRUMENTATION; /* this begins to collect, too */
}

/* sessions ----------------------------------------------------------------- */

static void
LogSession(int code, Datum arg)
{
	char line[100];

	snprintf(line, sizeof(line), "session %d %d " UINT64_FORMAT "\n", MyProcPid, counted, wal);
	Log(line);
}

static void
AssignActive(bool active, void *extra)
{
	if (MyBackendType != B_BACKEND || active == counting_active)
		return;
	if (active && begun++ == 0)
		on_proc_exit(LogSession, (Datum) 0);
	if (begun <= counting_skip)
		return;
	if (!active)
	{
		CALLGRIND_TOGGLE_COLLECT;
		wal += GetXLogInsertRecPtr() - wal_before;
		return;
	}
	counted++;
	wal_before = GetXLogInsertRecPtr();
	if (instrumented)
		CALLGRIND_TOGGLE_COLLECT;
	else
		Instrument();
}

/* background workers ------------------------------------------------------- */

/* This is called by a signal handler, so it allocates nothing. */
static void
LogParts(void)
{
	char line[100 + BGW_MAXLEN];

	snprintf(line, sizeof(line), "process %d %d %s\n", MyProcPid, parts, MyBgworkerEntry->bgw_type);
	Log(line);
}

static void
AssignWorkers(bool on, void *extra)
{
	if (MyBackendType != B_BG_WORKER || !on || instrumented)
		return;
	Instrument();
	LogParts();
}

static void
NextPart(SIGNAL_ARGS)
{
	int save_errno = errno;

	if (instrumented)
	{
		parts++;
		CALLGRIND_DUMP_STATS; /* and set the counters to 0 */
		LogParts();
	}
	errno = save_errno;
}

void
_PG_init(void)
{
	DefineCustomStringVariable("counting.log", "Sets the file of the counts.", NULL, &counting_log, "",
							   PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("counting.active", "Counts in this session.", NULL, &counting_active, false,
							 PGC_USERSET, 0, NULL, AssignActive, NULL);
	DefineCustomIntVariable("counting.skip", "Sets how often counting.active has no effect at first.", NULL,
							&counting_skip, 0, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("counting.workers", "Counts in background workers.", NULL, &counting_workers, false,
							 PGC_SIGHUP, 0, NULL, AssignWorkers, NULL);
	pqsignal(COUNTING_SIGNAL, NextPart); /* all processes inherit it */
}
