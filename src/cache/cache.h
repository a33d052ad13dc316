/*-------------------------------------------------------------------------
 *
 * cache.h
 *		Rows by key in shared memory: what ffs_get and ffs_get_many give
 *		without asking the tables, never stale and to nobody who may not see
 *		it.  The room is reached through registry/rowcache.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_H
#define FFS_CACHE_H

extern void ffs_cache_init(void);

#endif							/* FFS_CACHE_H */
