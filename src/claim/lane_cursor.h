/*
 * lane_cursor.h
 *	  One route in the look of a claim: its first due job that is in a lane.
 */
#ifndef TASKQ_LANE_CURSOR_H
#define TASKQ_LANE_CURSOR_H

#include "taskq.h"

#include "claim/cursor.h"
#include "shared/holders.h"

extern bool LaneCursorHead(ClaimScan *scan, ClaimCursor *cursor, JobKey *key);
extern bool LaneCursorTake(ClaimScan *scan, ClaimCursor *cursor, const HeadsBound *bound);
extern bool LaneCursorHasTurn(ClaimCursor *cursor, TupleTableSlot *row);
extern void LaneCursorPass(ClaimScan *scan, ClaimCursor *cursor, bool passed, const HeldWait *waits_for);
extern bool LaneCursorInOrder(const ClaimCursor *cursor);
extern void LaneCursorStall(ClaimScan *scan, ClaimCursor *cursor);
extern int	LaneCursorCount(ClaimScan *scan, ClaimCursor *cursor, int most);

#endif /* TASKQ_LANE_CURSOR_H */
