/*
 * cursor.h
 *	  One route in the look of a claim: its first due job.
 */
#ifndef TASKQ_CURSOR_H
#define TASKQ_CURSOR_H

#include "taskq.h"

#include "lib/binaryheap.h"

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
	int			  n_cursors;
	ClaimCursor	 *cursors;
	ClaimCursor	 *taken;	 /* cursor whose hints were taken from the ready list, or NULL */
	int			  next_rank; /* cursors of lower ranks are in the heap, or were */
	binaryheap	 *heap;		 /* cursors with due jobs, by the keys of their first ones; NULL before the first choice */
} ClaimScan;

extern bool CursorMustRead(int32 route_id, bool sees_own);
extern void CursorMakeHints(ClaimScan *scan, ClaimCursor *cursor);
extern void CursorReadAhead(ClaimScan *scan, ClaimCursor *cursor);
extern bool CursorHead(ClaimScan *scan, ClaimCursor *cursor, JobKey *key);

#endif /* TASKQ_CURSOR_H */
