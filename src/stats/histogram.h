/*-------------------------------------------------------------------------
 *
 * histogram.h
 *		Which bucket a duration falls into, and what a bucket stands for.
 *
 * Buckets grow by the factor 2^(1/7): any duration in one differs from what
 * the bucket stands for by at most 4.95 percent, which is how exact the
 * percentiles are.  They reach from 128 ns to 2^41 ns (36 minutes); one bucket
 * below and one above take the rest.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_HISTOGRAM_H
#define FFS_HISTOGRAM_H

#include "postgres.h"

#include <math.h>

#include "port/pg_bitutils.h"

#define FFS_HISTOGRAM_PER_OCTAVE	7
#define FFS_HISTOGRAM_FIRST_OCTAVE	7
#define FFS_HISTOGRAM_LAST_OCTAVE	40
#define FFS_HISTOGRAM_BUCKETS \
	((FFS_HISTOGRAM_LAST_OCTAVE - FFS_HISTOGRAM_FIRST_OCTAVE + 1) * FFS_HISTOGRAM_PER_OCTAVE + 2)

static inline int
ffs_histogram_bucket(uint64 nanoseconds)
{
	/* 2^31 times 2^(k/7), k = 1 to 6 */
	static const uint32 steps[FFS_HISTOGRAM_PER_OCTAVE - 1] = {
		UINT32_C(2371014177), UINT32_C(2617811889), UINT32_C(2890298656),
		UINT32_C(3191148437), UINT32_C(3523313526), UINT32_C(3890053517)
	};
	int			octave;
	uint32		mantissa;
	int			step = 0;

	if (nanoseconds < (UINT64CONST(1) << FFS_HISTOGRAM_FIRST_OCTAVE))
		return 0;
	octave = pg_leftmost_one_pos64(nanoseconds);
	if (octave > FFS_HISTOGRAM_LAST_OCTAVE)
		return FFS_HISTOGRAM_BUCKETS - 1;
	mantissa = (uint32) (octave <= 31 ? nanoseconds << (31 - octave) : nanoseconds >> (octave - 31));
	for (int k = 0; k < FFS_HISTOGRAM_PER_OCTAVE - 1; k++)
		step += (mantissa >= steps[k]);
	return 1 + (octave - FFS_HISTOGRAM_FIRST_OCTAVE) * FFS_HISTOGRAM_PER_OCTAVE + step;
}

/* The duration that is nearest, relatively, to both ends of a bucket. */
static inline double
ffs_histogram_value(int bucket)
{
	double		growth = pow(2.0, 1.0 / FFS_HISTOGRAM_PER_OCTAVE);

	if (bucket <= 0)
		return 0.0;				/* the caller raises it to the least seen */
	if (bucket >= FFS_HISTOGRAM_BUCKETS - 1)
		return HUGE_VAL;		/* and lowers this to the most seen */
	return pow(2.0, FFS_HISTOGRAM_FIRST_OCTAVE + (double) (bucket - 1) / FFS_HISTOGRAM_PER_OCTAVE) *
		2.0 * growth / (1.0 + growth);
}

#endif							/* FFS_HISTOGRAM_H */
