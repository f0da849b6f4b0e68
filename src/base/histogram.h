/*
 * histogram.h
 *	  Histograms of durations.
 */
#ifndef TASKQ_HISTOGRAM_H
#define TASKQ_HISTOGRAM_H

#include "taskq.h"

/* Two buckets for each power of two, up to 2^40 microseconds, which is 12 days. */
#define HISTOGRAM_BUCKETS 80

typedef struct Histogram
{
	uint64 counts[HISTOGRAM_BUCKETS];
	int64  least; /* least value ever added; PG_INT64_MAX if there is none */
	int64  most;  /* greatest value ever added; 0 if there is none */
} Histogram;

extern void HistogramClear(Histogram *histogram);
extern void HistogramAdd(Histogram *histogram, int64 microseconds);
extern void HistogramRemove(Histogram *histogram, int64 microseconds);
extern bool HistogramQuantile(const Histogram *histogram, double q, double *microseconds);

#endif /* TASKQ_HISTOGRAM_H */
