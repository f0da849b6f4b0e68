/*
 * scan.h
 *	  Reading the index of waiting jobs, in the order of a claim.
 */
#ifndef TASKQ_SCAN_H
#define TASKQ_SCAN_H

#include "taskq.h"

#include "access/relscan.h"
#include "access/skey.h"

#include "job/job.h"
#include "ready/ready.h"

/* A waiting job that was seen in the index. */
typedef struct ScanHint
{
	JobKey			key;
	ItemPointerData tid;
} ScanHint;

typedef struct JobScan
{
	TaskqRel		rel; /* REL_JOBS_OPEN or REL_JOBS_LANES */
	Relation		heap;
	Relation		index;	  /* NULL until the first read */
	Snapshot		snapshot; /* NULL until the first read */
	IndexScanDesc	by_route; /* "current" is one of these two */
	IndexScanDesc	by_lane;
	IndexScanDesc	current;
	ScanKeyData		keys[3];
	ScanKeyData		place[3]; /* members of the last key, which is a row comparison */
	TupleTableSlot *slot;
	const Codec	   *codec;	  /* reads the slot; may be NULL */
	bool			is_ahead; /* what follows is the first job in the lanes after this one */
	int64			ahead_of;
	int64			ahead_lane;
	ScanHint		ahead;
	int				steps;	 /* number of dead index entries that may still be read; 0: no limit */
	bool			stopped; /* the limit was reached, and the last hint is only a place */
} JobScan;

extern void		ScanBegin(JobScan *scan, TaskqRel rel, Relation heap, int steps);
extern void		ScanEnd(JobScan *scan);
extern Snapshot ScanRefresh(JobScan *scan);
extern void		ScanRoute(JobScan *scan, int32 route_id, const JobKey *after);
extern void		ScanLane(JobScan *scan, int32 route_id, int16 priority, const ReadyKey *from);
extern bool		ScanNext(JobScan *scan, ScanHint *hint);
extern void		ScanKeyLane(JobScan *scan, int32 route_id, int64 lane, const JobKey *after);
extern void		ScanLanesAfter(JobScan *scan, int32 route_id, int64 lane);
extern int64	ScanLaneFound(JobScan *scan);
extern bool		ScanFirstDue(JobScan *scan, int32 route_id, int64 lane, const JobKey *from, TimestampTz now,
							 ScanHint *hint, TimestampTz *next_due);
extern bool		ScanNextLane(JobScan *scan, int32 route_id, int64 *lane, TimestampTz now, ScanHint *hint,
							 TimestampTz *next_due, bool *is_only);
extern int		ScanCountDue(JobScan *scan, int32 route_id, int64 lane, TimestampTz now, int most);
extern bool		ScanAny(JobScan *scan, ScanHint *hint);
extern void		ScanRest(JobScan *scan);
extern int		ScanFill(JobScan *scan, int32 route_id, int16 priority, TimestampTz now,
						 const ReadyKey *bound, int most, ReadyHint *hints);
extern void		ScanLearn(JobScan *scan, int32 route_id);

#endif /* TASKQ_SCAN_H */
