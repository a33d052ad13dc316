/*-------------------------------------------------------------------------
 *
 * counters.h
 *		What the counters show to the rest of the room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_COUNTERS_H
#define FFS_COUNTERS_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "stats/stats.h"

/* Settings: ffstorage.track, ffstorage.max_tables */
extern bool ffs_stats_track;
extern int	ffs_stats_max_tables;

extern void ffs_stats_init_counters(void);
extern void ffs_stats_init_checks(void);
extern void ffs_stats_init_progress(void);
extern const char *ffs_stats_operation_name(FfsOperation op);

typedef struct FfsStatsUsage
{
	int			capacity;		/* tables that there is room for */
	int			used;
	uint64		no_room;		/* counts lost because all was used */
	uint64		prepared;		/* counts not made because they were prepared */
} FfsStatsUsage;

/* False where there is no shared memory. */
extern bool ffs_stats_usage(FfsStatsUsage *usage);

/* Tenant violations on the tables of this database, and the latest of them. */
extern uint64 ffs_stats_violations(TimestampTz *latest);

#endif							/* FFS_COUNTERS_H */
