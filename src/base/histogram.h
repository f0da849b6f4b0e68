/*
 * histogram.h
 *	  How often what took how long.
 */
#ifndef TASKQ_HISTOGRAM_H
#define TASKQ_HISTOGRAM_H

#include "taskq.h"

/* Two buckets for each power of two, up to 2^40 microseconds, which is 12 days. */
#define HISTOGRAM_BUCKETS 80

typedef struct Histogram
{
	uint64 counts[HISTOGRAM_BUCKETS];
	int64  least; /* of all that were added, once there is one */
	int64  most;
} Histogram;

extern void HistogramClear(Histogram *histogram);
extern void HistogramAdd(Histogram *histogram, int64 microseconds);
extern void HistogramRemove(Histogram *histogram, int64 microseconds);
extern bool HistogramQuantile(const Histogram *histogram, double q, double *microseconds);

#endif /* TASKQ_HISTOGRAM_H */
