/*
 * known.h
 *	  What the launcher knows of the databases of the cluster.
 */
#ifndef TASKQ_KNOWN_H
#define TASKQ_KNOWN_H

#include "taskq.h"

#include "postmaster/bgworker.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

/* What is known of a database. */
typedef struct Known
{
	Oid						dboid;	/* hash key */
	bool					listed; /* in the last list */
	bool					probed; /* nothing to do until somebody says so */
	TimestampTz				not_before;
	TimestampTz				started_at;	 /* its scheduler, the last time */
	int						failures;	 /* schedulers in a row that did not live long */
	TimestampTz				waits_since; /* it needs one for which there is no slot; 0: it does not */
	BackgroundWorkerHandle *handle;		 /* of its scheduler or probe; NULL: none that we have started */
	int						number;		 /* of the probe; -1: it is the scheduler */
	bool					ended;		 /* the probe, by us */
	bool					again;		 /* it was to be looked at anew while the probe was under way */
} Known;

extern HTAB *known_databases; /* of Known */

extern void KnownInit(void);
extern void KnownList(void);
extern void KnownForgetDropped(void);
extern bool KnownIsStillThere(Oid dboid);
extern bool KnownTakeProbeRequests(void);
extern bool KnownHasScheduler(Oid dboid);
extern bool KnownIsBlocked(Oid dboid);

#endif /* TASKQ_KNOWN_H */
