/*
 * histogram.c
 *	  Histograms of durations.  The buckets are fixed, so adding a value takes
 *	  constant time and the size of a histogram never changes.
 */
#include "taskq.h"

#include "port/pg_bitutils.h"

#include "base/histogram.h"

/* Return the lower bound of a bucket.  The first bucket has all values below two. */
static double
LowerBound(int bucket)
{
	double power = (double) (UINT64CONST(1) << (bucket / 2));

	if (bucket == 0)
		return 0;
	return bucket % 2 == 0 ? power : power * 1.5;
}

static int
BucketOf(int64 microseconds)
{
	int power;

	if (microseconds < 2)
		return 0;
	power = pg_leftmost_one_pos64((uint64) microseconds);
	return Min(power * 2 + (int) ((microseconds >> (power - 1)) & 1), HISTOGRAM_BUCKETS - 1);
}

void
HistogramClear(Histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
	histogram->least = PG_INT64_MAX;
}

void
HistogramAdd(Histogram *histogram, int64 microseconds)
{
	histogram->counts[BucketOf(microseconds)]++;
	histogram->least = Min(histogram->least, microseconds);
	histogram->most = Max(histogram->most, microseconds);
}

/* Remove a value that was added.  "least" and "most" are left as they are. */
void
HistogramRemove(Histogram *histogram, int64 microseconds)
{
	if (histogram->counts[BucketOf(microseconds)] > 0)
		histogram->counts[BucketOf(microseconds)]--;
}

/*
 * Estimate the q-quantile.  Returns false if the histogram is empty.  The estimate
 * interpolates within a bucket, as if its values were evenly spread, and is clamped
 * to the least and the greatest value that were added.
 */
bool
HistogramQuantile(const Histogram *histogram, double q, double *microseconds)
{
	double total = 0;
	double below = 0;
	double wanted;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += histogram->counts[i];
	if (total == 0)
		return false;
	wanted = total * q;
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
	{
		double count = histogram->counts[i];

		if (count > 0 && below + count >= wanted)
		{
			/* Bucket 1 is never used, because the first bucket goes up to two. */
			double upper = LowerBound(i == 0 ? 2 : i + 1);

			*microseconds = LowerBound(i) + (upper - LowerBound(i)) * (wanted - below) / count;
			*microseconds = Min(Max(*microseconds, histogram->least), histogram->most);
			return true;
		}
		below += count;
	}
	return false;
}
