/*-------------------------------------------------------------------------
 *
 * store.h
 *		What is kept in shared memory: rows by key, and who wrote where.
 *		store.c says how it works and why it is right.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_STORE_H
#define FFS_CACHE_STORE_H

#include "postgres.h"

#include "access/transam.h"
#include "utils/snapshot.h"

/* Settings: ffstorage.cache_size (kB), cache_ttl (s), cache_max_row (bytes), cache */
extern int	ffs_cache_size;
extern int	ffs_cache_ttl;
extern int	ffs_cache_max_row;
extern bool ffs_cache_enabled;

/* A place where writes to a table as a whole are noted. */
typedef struct TableFence TableFence;

/* A key of a table as the store knows it. */
#define MAX_KEY_BYTES	512

typedef struct StoreKey
{
	Oid			relid;
	TableFence *fence;			/* of relid */
	uint64		hash;			/* equal keys have equal ones */
	int			length;
	const char *bytes;			/* what makes it this key and no other */
} StoreKey;

typedef enum StoreAnswer
{
	STORE_MISS,
	STORE_NONE,					/* there is no such row */
	STORE_ROW
} StoreAnswer;

extern void ffs_cache_store_init(void);
/* Is there a store? */
extern bool ffs_cache_store_ready(void);

extern TableFence *ffs_cache_table_fence(Oid relid);
/* Changes whenever what was known of the table no longer holds. */
extern uint64 ffs_cache_generation(TableFence *fence);

/*
 * From now on rows of this table may be put in: writers must fence their keys.
 * False where a change of the whole table is not seen as finished by the
 * snapshot: nothing may be put in, nor may what the caller finds out about
 * the table now be kept.
 */
extern bool ffs_cache_open_table(TableFence *fence, Oid relid, Snapshot snapshot, uint64 *generation);

/*
 * What is in store for a key, as `snapshot` sees it; a row is copied into
 * `context`.
 */
extern StoreAnswer ffs_cache_look_up(const StoreKey *key, Snapshot snapshot, MemoryContext context, void **row);

/* Where rows are put only if there is room. */
typedef enum StorePolicy
{
	STORE_EVICT,
	STORE_IF_ROOM
} StorePolicy;

/*
 * Put in what `snapshot` saw: a row that xmin made, or (NULL) that there is
 * none.  True if it went in; it does not where the protocol or memory forbids.
 */
extern bool ffs_cache_put(const StoreKey *key, Snapshot snapshot, const void *row, Size length,
						  TransactionId xmin, StorePolicy policy);

/* ---- writers; each is called before the change is made ---- */

/* The row with a key of this hash changes.  is_insert: there is none now. */
extern void ffs_cache_fence_key(TableFence *fence, Oid relid, uint64 hash, bool is_insert);
/* Rows come whose keys are not told. */
extern void ffs_cache_fence_inserts(TableFence *fence, Oid relid);
/* Anything about the table may change. */
extern void ffs_cache_fence_table(TableFence *fence, Oid relid);
extern void ffs_cache_fence_everything(void);
/* Has this transaction put rows into the table without telling their keys? */
extern bool ffs_cache_has_own_inserts(TableFence *fence, Oid relid);
/* The transaction is over. */
extern void ffs_cache_forget_fences(void);

/* Take out the rows of a table of this database (InvalidOid: of all); how many there were. */
extern uint64 ffs_cache_remove(Oid relid);

/* ---- figures ---- */

typedef enum StoreCounter
{
	COUNT_HITS,
	COUNT_MISSES,
	COUNT_BYPASSED,
	COUNT_FILLS,
	COUNT_REFUSED,
	COUNT_EVICTIONS,
	COUNT_INVALIDATIONS,
	N_COUNTERS
} StoreCounter;

/* Counted in the backend until the transaction ends, whichever way. */
extern uint64 ffs_cache_pending[N_COUNTERS];
extern void ffs_cache_flush_counters(void);

typedef struct StoreFigures
{
	uint64		counters[N_COUNTERS];
	uint64		entries;
	uint64		used_bytes;
	uint64		capacity_bytes;
	uint64		shared_bytes;	/* all that is reserved */
	Size		max_row;		/* the largest row that has a place */
	bool		blocked;		/* by a transaction that was prepared before the server started */
} StoreFigures;

extern void ffs_cache_figures(StoreFigures *figures);
extern void ffs_cache_reset_counters(void);

#endif							/* FFS_CACHE_STORE_H */
