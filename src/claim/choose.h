/*
 * choose.h
 *	  Choosing the job that a claim tries next.
 */
#ifndef TASKQ_CHOOSE_H
#define TASKQ_CHOOSE_H

#include "taskq.h"

#include "claim/claim.h"
#include "claim/cursor.h"
#include "shared/holders.h"

extern void			ChooseBegin(ClaimScan *scan, Store *jobs, const RouteSet *routes, int most, ClaimPlace *place, bool sees_own);
extern void			ChooseEnd(ClaimScan *scan);
extern ClaimCursor *ChooseNext(ClaimScan *scan);
extern bool			ChooseHasTurn(ClaimCursor *cursor, TupleTableSlot *row);
extern void			ChoosePutBack(ClaimCursor *cursor);
extern void			ChoosePass(ClaimScan *scan, ClaimCursor *cursor, bool passed, const HeldWait *waits_for);
extern void			ChooseFinish(ClaimCursor *cursor);
extern ReadyKey		HintPlace(const ScanHint *hint);

#endif /* TASKQ_CHOOSE_H */
