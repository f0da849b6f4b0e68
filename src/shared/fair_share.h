/*
 * fair_share.h
 *	  Who has the next turn, where several share what can be started, in shared memory.
 */
#ifndef TASKQ_FAIR_SHARE_H
#define TASKQ_FAIR_SHARE_H

#include "taskq.h"

typedef enum ShareKind
{
	SHARE_NONE,
	SHARE_GROUPS, /* the groups of a fair queue take turns; the id is that of the queue */
	SHARE_POOL,	  /* the queues of a pool, by a hash of its name */
	SHARE_WORKER  /* the queues of an external worker, by the key of its name */
} ShareKind;

/* Those who take turns with each other. */
typedef struct ShareScope
{
	ShareKind kind;
	uint64	  id;
} ShareScope;

/* Tags may wrap around, so they are compared by their difference. */
static inline bool
TagPrecedes(uint64 a, uint64 b)
{
	return (int64) (a - b) < 0;
}

extern void	  FairShareInit(void);
extern uint64 FairShareNow(const ShareScope *scope);
extern uint64 FairShareJoin(const ShareScope *scope, int64 member);
extern uint64 FairShareStay(const ShareScope *scope, int64 member, uint64 tag);
extern void	  FairShareCharge(const ShareScope *scope, int64 member, uint64 tag, int32 cost);
extern void	  FairShareForgetDatabase(Oid dboid);

#endif /* TASKQ_FAIR_SHARE_H */
