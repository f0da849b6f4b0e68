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

typedef struct ClaimCursor
{
	int32	  route_id;
	int		  rank;
	bool	  reads;	 /* hints come from the index, not from the ready list */
	bool	  finished;	 /* there are no more jobs after the hints */
	bool	  must_fill; /* the list must be filled before hints can be taken */
	int		  in_vain;
	JobKey	  head;	 /* no due job of the route precedes this key, apart from jobs that came later */
	JobKey	  after; /* continue reading after this key */
	ScanHint *hints;
	int		  n_hints;
	int		  at;

	/* for heads.c */
	TimestampTz changes_at; /* the head is right until then, if the ready list does not change */
	int			heap_at;	/* place in the heap, or -1 */
	bool		touched;	/* the next claim looks at it again */
} ClaimCursor;

typedef struct ClaimScan
{
	Store		 *jobs;
	JobScan		  scan;
	MemoryContext context; /* for the hints */
	TimestampTz	  now;
	TimestampTz	  next_due; /* earliest future run_at seen, or DT_NOEND */
	int			  wanted;	/* number of jobs wanted */
	int			  ahead;
	ClaimCursor	 *taken;   /* cursor whose hints were taken from the ready list, or NULL */
	ClaimHeads	 *heads;   /* the cursors */
	ClaimPlace	 *place;   /* keeps them for the next claim; NULL: they are not kept */
	bool		  updated; /* they were brought up to date */
} ClaimScan;

extern bool CursorMustRead(int32 route_id, bool sees_own);
extern void CursorMakeHints(ClaimScan *scan, ClaimCursor *cursor);
extern void CursorReadAhead(ClaimScan *scan, ClaimCursor *cursor);
extern bool CursorHead(ClaimScan *scan, ClaimCursor *cursor, JobKey *key);

#endif /* TASKQ_CURSOR_H */
