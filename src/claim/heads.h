/*
 * heads.h
 *	  The first due jobs of a claim's routes, in the order in which it takes them.
 */
#ifndef TASKQ_HEADS_H
#define TASKQ_HEADS_H

#include "taskq.h"

#include "claim/claim.h"
#include "claim/cursor.h"

extern void			HeadsBegin(ClaimScan *scan, const RouteSet *routes, ClaimPlace *place, bool sees_own);
extern void			HeadsEnd(ClaimScan *scan);
extern bool			HeadPrecedes(const JobKey *a, const JobKey *b);
extern ClaimCursor *HeadsCursors(ClaimScan *scan);
extern ClaimCursor *HeadsFirst(ClaimScan *scan, HeadsBound *bound);

#ifdef TASKQ_TESTING
extern int64 HeadsLooks(void);
#endif

#endif /* TASKQ_HEADS_H */
