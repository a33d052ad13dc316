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

/* What is put in of a table, and so what its writers must tell. */
typedef enum StoreUse
{
	STORE_ROWS = 1,				/* the keys of what they write */
	STORE_RESULTS = 2			/* that they write, and whose rows */
} StoreUse;

/*
 * From now on rows of this table, or results of queries that read it, may be
 * put in: writers must say what they write.  False where a change of the whole table is not seen as finished by the
 * snapshot: nothing may be put in, nor may what the caller finds out about
 * the table now be kept.
 */
extern bool ffs_cache_open_table(TableFence *fence, Oid relid, StoreUse use, Snapshot snapshot, uint64 *generation);

/*
 * What is in store for a key, as `snapshot` sees it; a row is copied into
 * `context`.
 */
extern StoreAnswer ffs_cache_look_up(const StoreKey *key, Snapshot snapshot, MemoryContext context, void **row);

/* Keys of these hashes, FEW_KEYS at most, are looked up next: fetches what they lead to. */
#define FEW_KEYS	32

extern void ffs_cache_fetch(const uint64 *hashes, int n);

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

/*
 * The row with a key of this hash changes.  is_insert: there is none now.  It
 * is fenced by ffs_cache_fence_waiting at the latest, which comes before this
 * backend looks anything up; before the transaction ends it is
 * ffs_cache_fence_at_once, after which nothing waits any more; and when it has
 * ended, ffs_cache_forget_waiting.
 */
extern void ffs_cache_fence_waiting(void);
extern void ffs_cache_fence_at_once(void);
extern void ffs_cache_forget_waiting(void);
extern void ffs_cache_fence_key(TableFence *fence, Oid relid, uint64 hash, bool is_insert);
/* Rows come whose keys are not told. */
extern void ffs_cache_fence_inserts(TableFence *fence, Oid relid);
/* Anything about the table may change. */
extern void ffs_cache_fence_table(TableFence *fence, Oid relid);
/* Anything about the tables of this database may. */
extern void ffs_cache_fence_everything(void);
/*
 * What queries mean may change, in a database or (InvalidOid) in all: from
 * before the change can be seen until all have been told of it, when the
 * catalogs are released.  Held without being fenced: another transaction has
 * fenced them.
 */
extern void ffs_cache_fence_catalog(Oid dboid);
extern void ffs_cache_hold_catalog(Oid dboid);
extern void ffs_cache_release_catalog(Oid dboid);
/* Must the tenant of each row of the table be told?  The table itself has been, now or before. */
extern bool ffs_cache_must_tell_tenants(TableFence *fence, Oid relid);
extern void ffs_cache_fence_tenant(TableFence *fence, Oid relid, uint64 tenant_hash);
/* Rows of any tenant are written. */
extern void ffs_cache_fence_all_tenants(TableFence *fence, Oid relid);
/* Has this transaction put rows into the table without telling their keys, or where its snapshot sees another of the key? */
extern bool ffs_cache_has_own_inserts(TableFence *fence, Oid relid);
/* The transaction is over. */
extern void ffs_cache_forget_fences(void);

/* ---- parts of tables, for results ---- */

/* The parts that writers note themselves in, by number. */
extern uint32 ffs_cache_part_unsaid(Oid relid); /* those that did not say of whose rows; all look here */
extern uint32 ffs_cache_part_any(Oid relid);
extern uint32 ffs_cache_part_tenant(Oid relid, uint64 tenant_hash);

/*
 * Take out the rows of a table of this database, and of what is put in by
 * pieces that which the caller wants out; how many there were.
 */
typedef bool (*StoreWanted) (const char *bytes, Size length, int key_length, Oid relid);
extern uint64 ffs_cache_remove(Oid relid, StoreWanted wanted);

/* ---- pieces: bytes by key, of no relation, whose truth is up to the caller ---- */

/* The fence of a piece's key is the catalogs' own; other generations of it are as good as gone. */
extern bool ffs_cache_put_piece(const StoreKey *key, uint64 generation, TimestampTz expires, const void *bytes, Size length);
/* *length: room there is, then what was found. */
extern bool ffs_cache_get_piece(const StoreKey *key, void *bytes, Size *length);
extern void ffs_cache_drop_piece(const StoreKey *key);
/* The longest piece. */
extern Size ffs_cache_piece_size(void);
/* What goes in, all in all. */
extern Size ffs_cache_capacity(void);
extern uint64 ffs_cache_next_id(void);

/* ---- all of it ---- */

typedef struct StoreCursor
{
	uint32		partition;
	uint32		block;
} StoreCursor;

typedef struct StoreNamedRow
{
	Oid			dboid;
	Oid			relid;
	int			length;
	char		bytes[MAX_KEY_BYTES];
} StoreNamedRow;

/*
 * The keys of some more rows that are there, in no order, of those that have
 * or that have not been used since the clock's hand passed; negative entries
 * are left out.  Begins at a cursor of zeros; false when it has been all round.
 */
extern bool ffs_cache_next_rows(StoreCursor *cursor, bool used, StoreNamedRow *rows, int max, int *n);

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
	COUNT_RESULT_HITS,
	COUNT_RESULT_MISSES,
	COUNT_RESULT_BYPASSED,
	COUNT_RESULT_FILLS,
	COUNT_RESULT_REFUSED,
	COUNT_RESULT_WAITS,
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
