/*-------------------------------------------------------------------------
 *
 * rowcache.h
 *		Where a cache of rows by key and those who read and write meet.
 *
 * The cache stands above: it fills this in when it is opened, and whoever
 * reads by key or writes rows calls through it.  NULL where there is none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_REGISTRY_ROWCACHE_H
#define FFS_REGISTRY_ROWCACHE_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"

#include "registry/registry.h"

typedef enum FfsRowAnswer
{
	FFS_ROW_ASK,				/* the cache cannot say: ask the table */
	FFS_ROW_NONE,				/* there is no such row for the caller */
	FFS_ROW_FOUND
} FfsRowAnswer;

typedef struct FfsRowCache
{
	/*
	 * The row of `table` with this key (values of the key columns' types,
	 * none NULL) as the current role would see it in the active snapshot: a
	 * composite datum of the table's row type, allocated in `context`.
	 */
	FfsRowAnswer (*get) (FfsTable *table, const Datum *key, MemoryContext context, Datum *row);

	/*
	 * The same if it takes no more than looking: FFS_ROW_ASK (of `get`) where
	 * the row is not there, or something else has yet to be done for it.
	 */
	FfsRowAnswer (*find) (FfsTable *table, const Datum *key, MemoryContext context, Datum *row);

	/*
	 * `get` will be asked for these `n` keys, one after the other in `keys`, at
	 * once: only worth saying once it has answered for the table.
	 */
	void		(*expect) (FfsTable *table, const Datum *keys, int n);

	/* `n` rows more were left to a query without having been asked for. */
	void		(*left_to_query) (uint64 n);

	/*
	 * Before a row of `table` (the root or a partition) is written: the old
	 * one (NULL for INSERT) and the new one (NULL for DELETE), of relation
	 * descriptor `desc`.
	 */
	void		(*row_written) (FfsTable *table, TupleDesc desc, HeapTuple old, HeapTuple new);

	/* Before rows are inserted whose keys nobody will tell. */
	void		(*rows_inserted) (FfsTable *table);

	/* Before the table is changed as a whole. */
	void		(*table_written) (Oid relid);
} FfsRowCache;

extern const FfsRowCache *ffs_registry_row_cache;

#endif							/* FFS_REGISTRY_ROWCACHE_H */
