/*-------------------------------------------------------------------------
 *
 * cached.h
 *		ffs_cached: the result of a query, from the store or else from the
 *		tables into it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_CACHED_H
#define FFS_CACHE_CACHED_H

extern void ffs_cache_cached_init(void);

#endif							/* FFS_CACHE_CACHED_H */
