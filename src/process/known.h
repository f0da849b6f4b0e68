/*
 * known.h
 *	  What the launcher knows about the databases of the cluster.
 */
#ifndef TASKQ_KNOWN_H
#define TASKQ_KNOWN_H

#include "taskq.h"

#include "postmaster/bgworker.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "shared/shmem.h"

/* What is known about one database. */
typedef struct Known
{
	Oid						dboid;	/* hash key */
	bool					listed; /* found when pg_database was last read */
	bool					probed; /* no probe is needed until somebody requests one */
	TimestampTz				not_before;
	TimestampTz				started_at;	 /* last start of its scheduler */
	int						failures;	 /* number of schedulers in a row that ended early */
	TimestampTz				waits_since; /* since when it waits for a slot for its scheduler; 0 if it does not wait */
	BackgroundWorkerHandle *handle;		 /* scheduler or probe that this launcher has started, or NULL */
	int						number;		 /* number of the probe, or -1 if it is a scheduler */
	bool					ended;		 /* the launcher has asked the probe to end */
	bool					again;		 /* another probe was requested while this one was running */
} Known;

extern HTAB *known_databases; /* hash table of Known */

extern void KnownInit(void);
extern void KnownList(void);
extern void KnownForgetDropped(void);
extern void KnownForget(TaskqDatabase *db);
extern bool KnownIsStillThere(Oid dboid);
extern bool KnownTakeProbeRequests(void);
extern bool KnownHasScheduler(Oid dboid);
extern bool KnownIsBlocked(Oid dboid);

#endif /* TASKQ_KNOWN_H */
