/*
 * cursor.h
 *	  One route in the look of a claim: its first due job.
 */
#ifndef TASKQ_CURSOR_H
#define TASKQ_CURSOR_H

#include "taskq.h"

#include "claim/claim.h"
#include "claim/scan.h"
#include "store/store.h"

typedef struct LaneReader LaneReader;

/* Up to where a claim may take jobs of a route, before it looks at the others again. */
typedef struct HeadsBound
{
	JobKey key;	   /* no other route of the same rank has a job before this one */
	uint64 tag;	   /* in a fair queue, no other route has a lane before this tag */
	int	   starts; /* so many at most */
} HeadsBound;

typedef struct ClaimCursor
{
	int32	  route_id;
	int		  rank;
	int64	  age_every; /* the priorities of waiting jobs improve (ready_aged.c); 0: they do not */
	int16	  priority;	 /* of the lane of the ready list that has the first job */
	JobKey	  second;	 /* the other ones have no job before this place */
	bool	  reads;	 /* hints come from the index, not from the ready list */
	bool	  finished;	 /* there are no more jobs after the hints */
	bool	  given_up;	 /* no more jobs of the route are wanted */
	bool	  must_fill; /* the list must be filled before hints can be taken */
	int		  in_vain;
	uint64	  tag;	 /* in a fair queue: when its first lane has its turn; otherwise 0 */
	JobKey	  head;	 /* no due job of the route precedes this place, apart from jobs that came later */
	JobKey	  after; /* continue reading after this place */
	ScanHint *hints;
	int		  n_hints;
	int		  at;

	/* jobs in lanes (lane_cursor.c) */
	bool		in_lane; /* the head is in a lane */
	LaneReader *reader;	 /* its lanes are read from the index; NULL: they are in memory */
	LaneReader *reader_space;
	int64		lane;		   /* the lane that was taken */
	bool		knows_group;   /* otherwise the group of the lane that was taken must be found by its row */
	bool		has_lane_hint; /* its first job was taken, and not tried yet */
	ScanHint	lane_hint;

	/* for heads.c */
	TimestampTz changes_at; /* the head is right until then, if the ready list does not change */
	bool		timed;		/* lanes wait until moments of another clock */
	int			heap_at;	/* place in the heap, or -1 */
	bool		touched;	/* the next claim looks at it again */

	int32			   queue_id; /* of a queue with a heap of its own, or 0 */
	struct HeadsQueue *queue;
} ClaimCursor;

typedef struct ClaimScan
{
	Store		 *jobs;
	JobScan		  scan;
	JobScan		  lanes;		 /* of the index of lanes; it has no heap before it is used */
	bool		  lanes_looked;	 /* "lanes_absent" is known */
	bool		  lanes_absent;	 /* no job is in a lane */
	bool		  heads_see_own; /* jobs that this transaction has added are seen, too */
	MemoryContext context;		 /* for the hints */
	TimestampTz	  now;
	TimestampTz	  next_due; /* earliest future run_at seen, or DT_NOEND */
	int			  wanted;	/* number of jobs wanted */
	int			  ahead;
	uint64		  fills;	  /* ReadyFills() at the last wait for a fill */
	int			  fill_waits; /* for that one */
	int			  all_waits;  /* since hints were taken last */
	ClaimCursor	 *taken;	  /* cursor whose hints were taken from the ready list, or NULL */
	ClaimHeads	 *heads;	  /* the cursors */
	ClaimPlace	 *place;	  /* keeps them for the next claim; NULL: they are not kept */
	bool		  updated;	  /* they were brought up to date */
	uint64		  queue_tag;  /* if queues have weights: when that of the first job has its turn */
} ClaimScan;

extern bool			   CursorMustRead(int32 route_id, bool sees_own);
extern void			   CursorMakeHints(ClaimScan *scan, ClaimCursor *cursor);
extern void			   CursorReadAhead(ClaimScan *scan, ClaimCursor *cursor);
extern bool			   CursorReads(const ClaimCursor *cursor);
extern bool			   CursorHasHint(const ClaimCursor *cursor);
extern const ScanHint *CursorHint(const ClaimCursor *cursor);
extern JobKey		   CursorOrder(const ClaimCursor *cursor, const JobKey *key);
extern void			   CursorReadAged(ClaimScan *scan, ClaimCursor *cursor);
extern bool			   CursorHead(ClaimScan *scan, ClaimCursor *cursor);

#endif /* TASKQ_CURSOR_H */
