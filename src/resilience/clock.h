/*-------------------------------------------------------------------------
 *
 * clock.h
 *		A clock that nobody sets, for durations.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_RESILIENCE_CLOCK_H
#define FFS_RESILIENCE_CLOCK_H

#include "postgres.h"

#include "portability/instr_time.h"

/* Microseconds since some moment, the same for all processes. */
static inline int64
ffs_resilience_monotonic(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

#endif							/* FFS_RESILIENCE_CLOCK_H */
