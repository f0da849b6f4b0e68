/*
 * lane_reader.h
 *	  Reading the index of lanes in a claim, where shared memory does not know the lanes.
 */
#ifndef TASKQ_LANE_READER_H
#define TASKQ_LANE_READER_H

#include "taskq.h"

#include "claim/cursor.h"
#include "shared/holders.h"

extern JobScan *LanesOpen(ClaimScan *scan);
extern void		LaneReaderBegin(ClaimScan *scan, ClaimCursor *cursor);
extern bool		LaneReaderHead(ClaimScan *scan, ClaimCursor *cursor, JobKey *key);
extern void		LaneReaderTake(ClaimCursor *cursor);
extern void		LaneReaderPass(ClaimScan *scan, ClaimCursor *cursor, bool goes_on, const HeldWait *waits_for);
extern int		LaneReaderCount(const ClaimCursor *cursor, int most);

#endif /* TASKQ_LANE_READER_H */
