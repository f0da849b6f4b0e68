/*
 * cost.h
 *	  Amounts of cost units, as exact numbers with a fixed number of decimals.
 *
 * Shared memory adds and compares amounts under a lock, so they are integers, whose
 * arithmetic cannot fail.  In tables and arguments they are of type numeric.
 */
#ifndef TASKQ_COST_H
#define TASKQ_COST_H

#include "taskq.h"

#include "fmgr.h"

#ifndef HAVE_INT128
#error "taskq needs a compiler with 128-bit integers"
#endif

#define COST_DECIMALS 12 /* digits after the point */
#define COST_DIGITS 15	 /* digits before it, of one amount; sums may have some more */

typedef int128 CostUnits;

extern CostUnits ArgCost(FunctionCallInfo fcinfo, int n, const char *what, bool may_be_negative);
extern CostUnits CostOfDatum(Datum numeric);
extern Datum	 CostDatum(CostUnits cost);
extern char		*CostText(CostUnits cost);

#endif /* TASKQ_COST_H */
