/*
 * rels.h
 *	  The names and the OIDs of taskq's tables, indexes and sequences.
 */
#ifndef TASKQ_RELS_H
#define TASKQ_RELS_H

#include "taskq.h"

typedef enum TaskqRel
{
	REL_JOBS,
	REL_JOBS_PKEY,
	REL_JOBS_OPEN,
	REL_JOBS_LANES,
	REL_JOBS_ORDERED,
	REL_JOBS_RUNNING,
	REL_HISTORY,
	REL_HISTORY_OVERFLOW,
	REL_FAILURES,
	REL_ROUTES,
	REL_QUEUES,
	REL_HANDLERS,
	REL_POOLS,
	REL_WORKERS,
	REL_WORKERS_PKEY,
	REL_CANCELS,
	REL_CANCELS_JOB,
	REL_INSTALLATION,
	REL_JOB_ID_SEQ,
	REL_EPOCH_SEQ,
	REL_EVENTS,
	REL_EVENTS_OVERFLOW,
	REL_EVENT_ID_SEQ,
	REL_FRAMES,
	REL_GRANTS,
	REL_RIGHTS,
	REL_HANDLER_CHANGES,
	REL_LIMITS,
	REL_LIMIT_STARTS,
	REL_BUDGETS,
	REL_BUDGET_PERIODS,
	REL_BUDGET_TOTALS,
	REL_BUDGET_REPORTS,
	REL_BUDGET_REPORTS_OPEN,
	REL_BUDGET_REPORTS_PKEY,
	REL_BOUND_TENANTS
} TaskqRel;
#define TASKQ_RELS (REL_BOUND_TENANTS + 1)

/*
 * This sequence is invalidated instead of a table whose rows have changed, if the
 * ring in shared memory says which rows (shared/news.h).  Then only a standby must
 * read the tables again.  Nothing else invalidates this sequence.
 */
#define REL_NEWS REL_EVENT_ID_SEQ

extern bool		   RelsFind(Oid schema);
extern void		   RelsForget(void);
extern Oid		   RelOid(TaskqRel rel);
extern TaskqRel	   RelOfOid(Oid relid);
extern const char *RelName(TaskqRel rel);
extern TaskqRel	   RelTable(TaskqRel rel);
extern bool		   RelIsMissingIndex(TaskqRel rel);
extern const char *RelIndexDefinition(TaskqRel rel);

#endif /* TASKQ_RELS_H */
