/*
 * choose.h
 *	  Which job a claim tries next.
 */
#ifndef TASKQ_CHOOSE_H
#define TASKQ_CHOOSE_H

#include "taskq.h"

#include "claim/claim.h"
#include "claim/scan.h"
#include "store/store.h"

typedef struct ClaimCursor
{
	int32	  route_id;
	int		  rank;
	bool	  reads;	 /* the index; else its hints are of the ready list */
	bool	  finished;	 /* nothing behind the hints */
	bool	  must_fill; /* the list knows only where to read on */
	int		  in_vain;
	JobKey	  after; /* read on behind this place */
	ScanHint *hints;
	int		  n_hints;
	int		  at;
} ClaimCursor;

typedef struct ClaimScan
{
	Store		 *jobs;
	JobScan		  scan;
	MemoryContext context; /* of the hints */
	TimestampTz	  now;
	TimestampTz	  next_due; /* the first future run_at met, or DT_NOEND */
	int			  wanted;	/* jobs */
	int			  ahead;
	int			  n_cursors;
	ClaimCursor	 *cursors;
	ClaimCursor	 *taken; /* the one whose hints were taken from the list */
} ClaimScan;

extern void			ChooseBegin(ClaimScan *scan, Store *jobs, const RouteSet *routes, int most, bool sees_own);
extern void			ChooseEnd(ClaimScan *scan);
extern void			ChooseKeepPlace(ClaimScan *scan, ClaimPlace *place);
extern ClaimCursor *ChooseNext(ClaimScan *scan);
extern void			ChooseFinish(ClaimCursor *cursor);
extern ReadyKey		HintPlace(const ScanHint *hint);

#endif /* TASKQ_CHOOSE_H */
