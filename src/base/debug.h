/*-------------------------------------------------------------------------
 *
 * debug.h
 *		Places where a test can make a session wait, in place of sleeping and
 *		hoping.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BASE_DEBUG_H
#define FFS_BASE_DEBUG_H

#include "postgres.h"

/*
 * A session that has this name in its setting ffstorage.debug_points waits here
 * while another one holds pg_advisory_lock(hashtextextended(name, 0)).  Not
 * where an LWLock or a spinlock is held.  To all others it is one branch.
 */
#define FFS_DEBUG_POINT(name) \
	do { \
		if (unlikely(ffs_base_at_debug_point)) \
			ffs_base_debug_point(name); \
	} while (0)

extern bool ffs_base_at_debug_point;	/* is any set? */
extern void ffs_base_debug_point(const char *name);
extern void ffs_base_debug_init(void);

#endif							/* FFS_BASE_DEBUG_H */
