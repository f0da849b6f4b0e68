/*
 * heads_int.h
 *	  The heaps of a claim's routes, for the files heads*.c only.
 */
#ifndef TASKQ_HEADS_INT_H
#define TASKQ_HEADS_INT_H

#include "taskq.h"

#include "lib/pairingheap.h"

#include "claim/heads.h"

#define NOT_IN_HEAP (-1)

/* Routes of one queue, or of all queues that are neither fair nor weighted. */
typedef struct HeadsQueue
{
	int32			 queue_id; /* 0: those that are neither fair nor weighted */
	uint64			 tag;	   /* when the queue has its turn, if it is weighted; otherwise 0 */
	ClaimCursor	   **heap;	   /* those with due jobs */
	int				 n_heap;
	bool			 is_listed; /* in ClaimHeads.first, which is not used if there is one queue only */
	pairingheap_node node;
} HeadsQueue;

struct ClaimHeads
{
	int			  n;
	ClaimCursor	 *cursors;
	ClaimCursor **by_route; /* ordered by route_id */
	HeadsQueue	 *queues;
	int			  n_queues;
	pairingheap	  first; /* the queues with due jobs */
	ShareScope	  share;
	ClaimCursor **touched; /* the next claim looks at them again */
	int			  n_touched;
	TimestampTz	 *changes_at;  /* for each cursor: the head is right until then, if the list does not change */
	TimestampTz	  next_change; /* none of these is earlier */
	uint64		  seen;		   /* changes of the ready list */
	bool		  filled;	   /* all routes were looked at */
	bool		  restarts;	   /* each claim begins with the first jobs again; otherwise it goes on where the last stopped */
	bool		  sees_own;
};

extern void		   HeadsMakeQueues(ClaimHeads *heads, const RouteSet *routes);
extern void		   HeadsSift(ClaimHeads *heads, ClaimCursor *cursor, int at);
extern void		   HeadsPut(ClaimHeads *heads, ClaimCursor *cursor);
extern void		   HeadsRemove(ClaimHeads *heads, ClaimCursor *cursor);
extern HeadsQueue *HeadsFirstQueue(ClaimHeads *heads);
extern bool		   HeadsQueueIsLate(ClaimHeads *heads, HeadsQueue *queue);
extern bool		   HeadsIsLater(const ClaimHeads *heads, const ClaimCursor *cursor, uint64 tag, const JobKey *head);
extern void		   HeadsFindBound(ClaimHeads *heads, HeadsQueue *queue, HeadsBound *bound);

#endif /* TASKQ_HEADS_INT_H */
