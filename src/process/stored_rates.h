/*
 * stored_rates.h
 *	  The table limit_starts: what has started under quotas and slow rates.
 */
#ifndef TASKQ_STORED_RATES_H
#define TASKQ_STORED_RATES_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "shared/rates.h"

extern bool StoredRateRead(const RateLimit *limit, RateStored *stored, int64 *elapsed);
extern void StoredRateWrite(const RateLimit *limit, const RateStored *stored);
extern void StoredRateDelete(const RateValue *value);
extern int	StoredRatesOld(int32 limit_id, TimestampTz moment, RateValue *found, int most);
extern bool StoredRatesAny(void);

#endif /* TASKQ_STORED_RATES_H */
